import type { QueryClient } from '@tanstack/react-query'
import type { Image } from '@/api/model'
import { uploadFile } from '@/api/work'
import { formatBytes } from '@/shared/lib/format'
import { i18next } from '@/shared/lib/i18n'
import { Rate } from '@/shared/lib/rate'
import { currentTasks, dismissTask, runTask } from '@/shared/lib/tasks'
import { refreshImages } from './queries'

/** What each upload task sends, so that a failed one can be tried again. Forgotten when it is done, stopped or dismissed. */
const sources = new Map<number, { file: File; name: string }>()

/** Whether a file may be an image archive, by its name: only what surely is none is refused before it is sent. */
export function looksLikeArchive(file: { name: string; size: number }): boolean {
  return file.size > 0 && /\.(tar|tgz|gz|zst|tzst|oci)$|^[^.]+$/i.test(file.name)
}

/**
 * Uploads an archive as a task of the top bar: it goes on wherever the person goes within the console. Cancelled, the node
 * keeps nothing of it. The promise ends when it ends, and never rejects: the task says what came of it.
 */
export async function startUpload(queries: QueryClient, file: File, name: string): Promise<Image[] | null> {
  try {
    return await runTask({ kind: 'upload', title: file.name, to: '/images' }, async (task) => {
      sources.set(task.id, { file, name })
      const rate = new Rate()
      task.progress(0, file.size)
      const done = await uploadFile<{ items: Image[] }>({
        path: '/image-imports',
        query: { name },
        file,
        signal: task.signal,
        onSent: (sent, total) => {
          task.progress(sent, total)
          const speed = rate.add(sent)
          if (sent >= total) task.detail(i18next.t('images.unpacking'))
          else if (speed > 0) task.detail(i18next.t('upload.speed', { speed: formatBytes(speed) }))
        },
      })
      task.detail(done.items.map((image) => image.name).join(', '))
      if (done.items.length === 1 && done.items[0]) task.leadsTo(`/images/${encodeURIComponent(done.items[0].id)}`)
      sources.delete(task.id)
      return done.items
    })
  } catch {
    for (const id of sources.keys()) if (currentTasks().find((task) => task.id === id)?.state !== 'failed' && currentTasks().find((task) => task.id === id)?.state !== 'running') sources.delete(id)
    return null
  } finally {
    await refreshImages(queries)
  }
}

/** Whether a failed upload can be tried again: its file is still at hand. */
export function canRetry(id: number): boolean {
  return sources.has(id)
}

/** Sends a failed upload's file again. */
export function retryUpload(queries: QueryClient, id: number) {
  const source = sources.get(id)
  if (!source) return
  forgetUpload(id)
  void startUpload(queries, source.file, source.name)
}

export function forgetUpload(id: number) {
  sources.delete(id)
  dismissTask(id)
}
