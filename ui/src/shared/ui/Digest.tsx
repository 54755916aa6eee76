import { useTranslation } from 'react-i18next'
import { shortDigest } from '../lib/image'
import './artifacts.css'
import { CopyButton } from './CopyButton'

/** A digest by its first 12 digits; the whole of it is the tooltip and what is copied. */
export function Digest({ value }: { value: string }) {
  const { t } = useTranslation()
  return (
    <span className="sk-digest">
      <code title={value}>{shortDigest(value)}</code>
      <CopyButton text={value} label={t('artifact.copyDigest')} />
    </span>
  )
}
