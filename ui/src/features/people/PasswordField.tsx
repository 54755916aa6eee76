import { Button, Input } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { CopyButton } from '@/shared/ui/CopyButton'
import { makePassword } from './rules'

/** A new password for somebody else: typed, or made here and shown so that it can be handed over. */
export function PasswordField({ id, value, onChange }: { id?: string; value?: string; onChange?: (value: string) => void }) {
  const { t } = useTranslation()
  const [visible, setVisible] = useState(false)
  return (
    <span className="sk-password">
      <Input.Password id={id} value={value} onChange={(event) => onChange?.(event.target.value)} autoComplete="new-password" visibilityToggle={{ visible, onVisibleChange: setVisible }} />
      {visible && value ? <CopyButton text={value} label={t('user.copyPassword')} /> : null}
      <Button
        onClick={() => {
          onChange?.(makePassword())
          setVisible(true)
        }}
      >
        {t('user.makePassword')}
      </Button>
    </span>
  )
}
