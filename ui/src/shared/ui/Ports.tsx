import { useTranslation } from 'react-i18next'

/** A published port; structurally the contract's Port. */
export interface PortLike {
  protocol: 'tcp' | 'udp'
  hostIp?: string
  hostPort: number
  containerPort: number
}

/** Where a published port answers for the person who looks; undefined where a browser there cannot open it. */
export function portAddress(port: PortLike, host: string): string | undefined {
  if (port.protocol === 'udp') return undefined
  const loopback = port.hostIp?.startsWith('127.')
  if (loopback && host !== 'localhost' && !host.startsWith('127.')) return undefined
  const target = port.hostIp && port.hostIp !== '0.0.0.0' && !loopback ? port.hostIp : host
  return `http://${target.includes(':') && !target.startsWith('[') ? `[${target}]` : target}:${port.hostPort}/`
}

/** Published ports; those that a browser can open are links. */
export function Ports({ ports }: { ports: PortLike[] | undefined }) {
  const { t } = useTranslation()
  if (!ports || ports.length === 0) return <span className="sk-muted">–</span>
  return (
    <span className="sk-ports">
      {ports.map((port) => {
        const label = `${port.hostPort}${port.protocol === 'udp' ? '/udp' : ''}`
        const to = portAddress(port, location.hostname)
        const key = `${port.hostIp ?? ''}:${port.hostPort}/${port.protocol}`
        return to ? (
          <a key={key} className="sk-number" href={to} target="_blank" rel="noreferrer" aria-label={t('ports.open', { port: label })} title={t('ports.leads', { port: port.containerPort })}>
            {label}
          </a>
        ) : (
          <span key={key} className="sk-number" title={t('ports.leads', { port: port.containerPort })}>
            {label}
          </span>
        )
      })}
    </span>
  )
}
