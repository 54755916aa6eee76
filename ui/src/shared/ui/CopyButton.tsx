import { CheckOutlined, CopyOutlined } from './icons'
import { Button } from 'antd'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { copyText } from '../lib/clipboard'

/** Copies a text and says so for two seconds. */
export function CopyButton({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation()
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 2_000)
    return () => clearTimeout(timer)
  }, [copied])
  const name = copied ? t('action.copied') : (label ?? t('action.copy'))
  return (
    <Button
      size="small"
      type="text"
      icon={copied ? <CheckOutlined /> : <CopyOutlined />}
      aria-label={name}
      title={name}
      onClick={() => void copyText(text).then(setCopied)}
    />
  )
}

/** A short text in the fixed-width font with its copy button, for commands and ids. */
export function CopyLine({ text }: { text: string }) {
  return (
    <span className="sk-copyline">
      <code>{text}</code>
      <CopyButton text={text} />
    </span>
  )
}
