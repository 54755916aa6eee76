import { useMutation, useQuery } from '@tanstack/react-query'
import { Form, Input, Modal } from 'antd'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { formatBytes } from '../lib/format'
import { ConfirmDialog } from '../ui/ConfirmDialog'
import { ProblemAlert, type ProblemLike } from '../ui/ProblemAlert'
import { FileName } from './FileName'
import { inside, nameFault, type Place } from './paths'
import { countTree, type EntryLike, type FileStore } from './store'

/** Whatever was thrown as sentence, code and request id; the API's own errors have all three. */
export function asLike(error: unknown): ProblemLike {
  const known = error as Partial<ProblemLike> | null
  return { message: typeof known?.message === 'string' ? known.message : String(error), code: typeof known?.code === 'string' ? known.code : '', requestId: typeof known?.requestId === 'string' ? known.requestId : '' }
}

export function FolderDialog({ taken, make, onClose, onMade }: { taken: ReadonlySet<string>; make: (name: string) => Promise<unknown>; onClose: () => void; onMade: () => void }) {
  const { t } = useTranslation()
  const [name, setName] = useState('')
  const fault = nameFault(name)
  const wrong = name === '' ? undefined : fault ? t(`files.fault.${fault}`) : taken.has(name) ? t('files.taken', { name }) : undefined
  const making = useMutation({ mutationFn: () => make(name), onSuccess: onMade })
  return (
    <Modal open title={t('files.newFolder')} okText={t('files.make')} cancelText={t('action.cancel')} okButtonProps={{ disabled: fault !== undefined || wrong !== undefined }} confirmLoading={making.isPending} onCancel={onClose} onOk={() => making.mutate()}>
      {making.isError && <ProblemAlert problem={asLike(making.error)} />}
      <Form layout="vertical">
        <Form.Item label={t('column.name')} htmlFor="folder-name" validateStatus={wrong ? 'error' : undefined} help={wrong}>
          <Input id="folder-name" autoFocus value={name} spellCheck={false} autoComplete="off" onChange={(event) => setName(event.target.value)} onPressEnter={() => { if (!fault && !wrong) making.mutate() }} />
        </Form.Item>
      </Form>
    </Modal>
  )
}

/** Names what goes, in numbers: a folder is counted first. */
export function RemoveFileDialog({ entry, place, store, onClose, onRemoved }: { entry: EntryLike; place: Place; store: FileStore; onClose: () => void; onRemoved: () => void }) {
  const { t } = useTranslation()
  const folder = entry.type === 'folder'
  const count = useQuery({ queryKey: ['file-count', store.key, place.path, place.raw], queryFn: ({ signal }) => countTree(store.list, place, inside, signal), enabled: folder, staleTime: 0, gcTime: 0, retry: false })
  const remove = useMutation({ mutationFn: () => store.remove(place, folder), onSuccess: onRemoved })
  const counted = count.data
  const numbers = counted && `${t('files.files', { count: counted.files })}${t('files.and')}${t('files.folders', { count: counted.folders })}`
  return (
    <ConfirmDialog
      title={t('files.removeTitle')}
      submit={t('action.remove')}
      pending={remove.isPending}
      problem={remove.isError ? asLike(remove.error) : null}
      onClose={onClose}
      onSubmit={() => remove.mutate()}
    >
      <p>
        <b>
          <FileName name={entry.name} />
        </b>
      </p>
      {entry.type === 'file' && <p>{t('files.removeFile', { size: formatBytes(entry.sizeBytes) })}</p>}
      {entry.type === 'link' && <p>{t('files.removeLink')}</p>}
      {entry.type === 'other' && <p>{t('files.removeOther')}</p>}
      {folder && !counted && !count.isError && <p className="sk-muted" role="status">{t('files.counting')}</p>}
      {folder && count.isError && <p>{t('files.removeUncounted')}</p>}
      {counted &&
        (counted.files + counted.folders === 0 ? (
          <p>{t('files.removeEmpty')}</p>
        ) : (
          <p>{counted.more ? t('files.removeMore', { numbers: numbers ?? '', size: formatBytes(counted.bytes) }) : t('files.removeFolder', { numbers: numbers ?? '', size: formatBytes(counted.bytes) })}</p>
        ))}
    </ConfirmDialog>
  )
}
