import { useQueryClient } from '@tanstack/react-query'
import { Button, Form, Input, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { DeleteOutlined, UploadOutlined } from '@/shared/ui/icons'
import { FoldedSameAs } from '@/shared/ui/FoldedSameAs'
import { looksLikeArchive, startUpload } from './upload'

/** Chooses archives and begins their uploads; these go on as tasks when the dialog is closed. */
export function UploadDialog({ dropped, onClose }: { dropped?: File[]; onClose: () => void }) {
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [files, setFiles] = useState<File[]>(dropped ?? [])
  const [name, setName] = useState('')
  const [over, setOver] = useState(false)
  const take = (list: FileList | null) => setFiles((old) => [...old, ...[...(list ?? [])].filter((file) => !old.some((each) => each.name === file.name && each.size === file.size))])
  const wrong = files.filter((file) => !looksLikeArchive(file))
  const first = files[0]?.name ?? 'image.tar'
  return (
    <Modal
      open
      title={t('upload.title')}
      okText={t('upload.submit', { count: Math.max(1, files.length) })}
      cancelText={t('action.cancel')}
      okButtonProps={{ disabled: files.length === 0 || wrong.length > 0 }}
      onCancel={onClose}
      onOk={() => {
        for (const file of files) void startUpload(queries, file, files.length === 1 ? name.trim() : '')
        onClose()
      }}
    >
      <Form layout="vertical">
        <Form.Item>
          <div
            className={`sk-drop ${over ? 'sk-drop-over' : ''}`}
            onDragOver={(event) => {
              event.preventDefault()
              setOver(true)
            }}
            onDragLeave={() => setOver(false)}
            onDrop={(event) => {
              event.preventDefault()
              setOver(false)
              take(event.dataTransfer.files)
            }}
          >
            <UploadOutlined />
            <span>{t('upload.drop')}</span>
            <span className="sk-note">{t('upload.formats')}</span>
            <input
              type="file"
              multiple
              accept=".tar,.gz,.tgz,.zst,.oci"
              aria-label={t('upload.archive')}
              onChange={(event) => {
                take(event.target.files)
                event.target.value = ''
              }}
            />
          </div>
        </Form.Item>
        {files.length > 0 && (
          <Form.Item>
            <ul className="sk-used" aria-label={t('upload.chosen')}>
              {files.map((file) => (
                <li key={file.name + file.size} className="sk-work-head">
                  <span className="sk-name">{file.name}</span>
                  <span className="sk-number sk-muted">{formatBytes(file.size)}</span>
                  <Button size="small" type="text" icon={<DeleteOutlined />} aria-label={t('upload.leaveOut', { name: file.name })} onClick={() => setFiles((old) => old.filter((each) => each !== file))} />
                  {wrong.includes(file) && (
                    <span role="alert" className="sk-wrong">
                      {file.size === 0 ? t('upload.empty') : t('upload.noArchive')}
                    </span>
                  )}
                </li>
              ))}
            </ul>
          </Form.Item>
        )}
        <Form.Item label={t('upload.name')} htmlFor="archive-name" extra={t('upload.nameHelp')}>
          <Input id="archive-name" value={name} disabled={files.length > 1} onChange={(event) => setName(event.target.value)} spellCheck={false} placeholder="team/app:1.0" />
        </Form.Item>
      </Form>
      <FoldedSameAs
                cli={commandLine('skerry', 'image', 'import', ...(name.trim() ? ['-n', name.trim()] : []), first)}
                api={curl({ method: 'POST', path: `/image-imports${name.trim() ? `?name=${encodeURIComponent(name.trim())}` : ''}`, file: first }).replace('-T', "-H 'Content-Type: application/x-tar' \\\n  -T")}
              />
    </Modal>
  )
}
