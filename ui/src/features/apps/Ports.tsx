export { portAddress, Ports } from '@/shared/ui/Ports'
