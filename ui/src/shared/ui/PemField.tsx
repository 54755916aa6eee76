import { Button, Input } from 'antd'
import { useRef, useState, type CSSProperties } from 'react'
import { useTranslation } from 'react-i18next'
import './artifacts.css'
import { UploadOutlined } from './icons'

/** Beyond this no file is a certificate or a key. */
const largest = 1 << 20

/** Text in PEM, pasted or taken from a file. */
export function PemField({ id, value, onChange, label, placeholder, rows, secret }: { id?: string; value?: string; onChange?: (value: string) => void; label: string; placeholder: string; rows: number; secret?: boolean }) {
  const { t } = useTranslation()
  const file = useRef<HTMLInputElement>(null)
  const [problem, setProblem] = useState('')
  const take = async (chosen: File | undefined) => {
    if (!chosen) return
    if (chosen.size > largest) {
      setProblem(t('pem.large', { name: chosen.name }))
      return
    }
    const text = await chosen.text()
    // A file in DER is binary: said here, because the text field would only show rubbish.
    if (!text.includes('-----BEGIN')) {
      setProblem(t('pem.notPem', { name: chosen.name }))
      return
    }
    setProblem('')
    onChange?.(text)
  }
  return (
    <div
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event) => {
        event.preventDefault()
        void take(event.dataTransfer.files[0])
      }}
    >
      <Input.TextArea
        id={id}
        className="sk-pem"
        value={value}
        onChange={(event) => {
          setProblem('')
          onChange?.(event.target.value)
        }}
        rows={rows}
        spellCheck={false}
        autoComplete="off"
        placeholder={placeholder}
        style={secret && value ? ({ WebkitTextSecurity: 'disc' } as CSSProperties) : undefined}
      />
      <div className="sk-pem-foot">
        <Button size="small" icon={<UploadOutlined />} onClick={() => file.current?.click()}>
          {t('pem.file')}
        </Button>
        <input
          ref={file}
          type="file"
          tabIndex={-1}
          style={{ display: 'none' }}
          aria-label={t('pem.fileOf', { name: label })}
          onChange={(event) => {
            void take(event.target.files?.[0])
            event.target.value = ''
          }}
        />
        {problem && (
          <span role="alert" className="sk-wrong">
            {problem}
          </span>
        )}
      </div>
    </div>
  )
}
