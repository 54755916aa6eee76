import { Input, Modal } from 'antd'
import { useState, type ReactNode } from 'react'
import { useTranslation } from 'react-i18next'
import './artifacts.css'
import { ProblemAlert, type ProblemLike } from './ProblemAlert'

/** Asks before what cannot be taken back: names the consequence, and asks for the name only where data is lost. */
export function ConfirmDialog({
  title,
  submit,
  typed,
  pending,
  problem,
  blocked,
  extra,
  onSubmit,
  onClose,
  children,
}: {
  title: string
  submit: string
  /** The name to be typed; absent where no data is lost. */
  typed?: string
  pending?: boolean
  problem?: ProblemLike | null
  blocked?: boolean
  /** Stands left of the buttons, such as the equivalent command. */
  extra?: ReactNode
  onSubmit: () => void
  onClose: () => void
  children: ReactNode
}) {
  const { t } = useTranslation()
  const [name, setName] = useState('')
  return (
    <Modal
      open
      title={title}
      okText={submit}
      cancelText={t('action.cancel')}
      okButtonProps={{ danger: true, disabled: blocked || (typed !== undefined && name !== typed) }}
      confirmLoading={pending}
      onCancel={onClose}
      onOk={onSubmit}
      footer={extra ? (buttons) => <div className="sk-dialog-foot">{extra}<span>{buttons}</span></div> : undefined}
    >
      <ProblemAlert problem={problem} />
      <div className="sk-stack">
        {children}
        {typed !== undefined && (
          <label>
            {t('confirm.type', { name: typed })}
            <Input value={name} onChange={(event) => setName(event.target.value)} autoComplete="off" spellCheck={false} />
          </label>
        )}
      </div>
    </Modal>
  )
}
