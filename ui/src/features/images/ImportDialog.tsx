import { App as AntApp, Form, Input, Modal, Progress } from 'antd'
import { useEffect, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { asProblem } from '@/api/problem'
import { formatBytes } from '@/shared/lib/format'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { useImport } from './queries'

/** Uploads an image archive. Closing while it uploads stops it: nothing of a broken upload is kept. */
export function ImportDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  const { message } = AntApp.useApp()
  const { upload, sent } = useImport()
  const [file, setFile] = useState<File | null>(null)
  const [name, setName] = useState('')
  const stop = useRef<AbortController>(undefined)
  useEffect(() => () => stop.current?.abort(), [])
  const stopped = upload.error instanceof DOMException && upload.error.name === 'AbortError'
  return (
    <Modal
      open
      title={t('images.importTitle')}
      okText={t('images.import')}
      cancelText={upload.isPending ? t('images.stopUpload') : t('action.close')}
      okButtonProps={{ disabled: !file }}
      confirmLoading={upload.isPending}
      onCancel={onClose}
      onOk={() => {
        if (!file) return
        stop.current = new AbortController()
        upload.mutate(
          { file, name: name.trim(), signal: stop.current.signal },
          {
            onSuccess: (done) => {
              message.success(t('images.imported', { names: done.items.map((image) => image.name).join(', ') }))
              onClose()
            },
          },
        )
      }}
    >
      {upload.isError && !stopped && <ProblemAlert problem={asProblem(upload.error)} />}
      <Form layout="vertical" disabled={upload.isPending}>
        <Form.Item label={t('images.archive')} htmlFor="archive" extra={t('images.archiveHelp')}>
          <input id="archive" type="file" accept=".tar,.gz,.tgz,.zst" disabled={upload.isPending} onChange={(event) => setFile(event.target.files?.[0] ?? null)} />
        </Form.Item>
        <Form.Item label={t('images.archiveName')} htmlFor="archive-name" extra={t('images.archiveNameHelp')}>
          <Input id="archive-name" value={name} onChange={(event) => setName(event.target.value)} spellCheck={false} placeholder="team/app:1.0" />
        </Form.Item>
      </Form>
      {upload.isPending && sent && (
        <div role="status">
          <Progress percent={sent.total > 0 ? Math.floor((sent.bytes / sent.total) * 100) : 0} size="small" />
          <span className="sk-muted sk-number">{sent.bytes < sent.total ? `${formatBytes(sent.bytes)} / ${formatBytes(sent.total)}` : t('images.unpacking')}</span>
        </div>
      )}
    </Modal>
  )
}
