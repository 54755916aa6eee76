import { useQuery } from '@tanstack/react-query'
import { App as AntApp, Checkbox, Form, Input, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { useNavigate } from 'react-router'
import type { CommitInput, Container } from '@/api/model'
import { asProblem } from '@/api/problem'
import { containerStatsQuery, sessionQuery } from '@/api/queries'
import { formatBytes } from '@/shared/lib/format'
import { commandLine, curl } from '@/shared/lib/shell'
import { runTask } from '@/shared/lib/tasks'
import { ProblemAlert } from '@/shared/ui/ProblemAlert'
import { SameAsPanel } from '@/shared/ui/SameAs'
import { useCommit } from './queries'

/** Makes an image from what a container has written. What was typed stays when the server refuses. */
export function CommitDialog({ container, onClose }: { container: Container; onClose: () => void }) {
  const { t } = useTranslation()
  const navigate = useNavigate()
  const { notification } = AntApp.useApp()
  const me = useQuery(sessionQuery).data
  const running = container.status.phase === 'running'
  const stats = useQuery({ ...containerStatsQuery(container.id), enabled: running })
  const [image, setImage] = useState(`${container.appName}:${new Date().toISOString().slice(0, 10)}`)
  const [text, setText] = useState('')
  const [author, setAuthor] = useState<string>()
  const [pause, setPause] = useState(true)
  const commit = useCommit()
  const problem = commit.isError ? asProblem(commit.error) : null
  const by = author ?? me?.displayName ?? me?.name ?? ''
  const input: CommitInput = { image: image.trim(), message: text.trim() || undefined, author: by.trim() || undefined, pause }
  const layer = stats.data?.layerBytes
  const submit = () =>
    void runTask({ kind: 'work', title: input.image, to: '/images', cancel: false }, async () => {
      const made = await commit.mutateAsync({ container, input })
      onClose()
      notification.success({ title: t('commit.done', { name: made.name }), description: t('commit.doneNext'), onClick: () => void navigate(`/images?q=${encodeURIComponent(made.name)}`), style: { cursor: 'pointer' } })
    }).catch(() => undefined)
  return (
    <Modal open title={t('commit.title', { name: container.name })} width={620} okText={t('commit.submit')} cancelText={t('action.cancel')} okButtonProps={{ disabled: input.image === '' }} confirmLoading={commit.isPending} onCancel={onClose} onOk={submit}>
      {problem && <ProblemAlert problem={problem} />}
      <Form layout="vertical" disabled={commit.isPending} requiredMark={false}>
        <Form.Item label={t('commit.image')} htmlFor="commit-image" extra={t('commit.imageHelp')} validateStatus={problem?.field === 'image' ? 'error' : undefined}>
          <Input id="commit-image" autoFocus spellCheck={false} autoComplete="off" value={image} onChange={(event) => setImage(event.target.value)} />
        </Form.Item>
        <div className="sk-row">
          <Form.Item label={t('commit.message')} htmlFor="commit-message">
            <Input id="commit-message" value={text} placeholder={t('commit.messageHint')} onChange={(event) => setText(event.target.value)} />
          </Form.Item>
          <Form.Item label={t('commit.author')} htmlFor="commit-author">
            <Input id="commit-author" value={by} onChange={(event) => setAuthor(event.target.value)} />
          </Form.Item>
        </div>
        <Form.Item extra={t('commit.pauseHelp')}>
          <Checkbox checked={pause} disabled={!running} onChange={(event) => setPause(event.target.checked)}>
            {t('commit.pause')}
          </Checkbox>
        </Form.Item>
      </Form>
      <p className="sk-muted">{layer !== undefined ? t('commit.what', { size: formatBytes(layer) }) : t('commit.whatUnknown')}</p>
      <SameAsPanel
        cli={commandLine('skerry', 'commit', input.message && '-m', input.message, input.author && '--author', input.author, !pause && '--no-pause', container.name, input.image)}
        api={curl({ method: 'POST', path: `/containers/${encodeURIComponent(container.name)}/commit`, json: input })}
      />
    </Modal>
  )
}
