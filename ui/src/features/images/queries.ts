import { queryOptions, useMutation, useQueryClient, type QueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { Image, Progress, PushResult } from '@/api/model'
import { keys, page } from '@/api/queries'
import { mergeProgress, runWork } from '@/api/work'
import { runTask } from '@/shared/lib/tasks'
import { useState } from 'react'

/** What a change of images makes stale. */
export async function refreshImages(queries: QueryClient) {
  await Promise.all([keys.images, keys.repositories, keys.status].map((queryKey) => queries.invalidateQueries({ queryKey })))
}

function useRefresh() {
  const queries = useQueryClient()
  return () => refreshImages(queries)
}

/** Every service of the tenant, to tell which image each uses: the list of images itself does not say. */
export const allServicesQuery = queryOptions({
  queryKey: [...keys.services, 'all'],
  queryFn: ({ signal }) => answer(api.GET('/services', { params: { query: { limit: page } }, signal })),
})

/** Fetches an image as a task: it goes on, and stays in sight, when the dialog is closed. */
export function usePull() {
  const refresh = useRefresh()
  const [steps, setSteps] = useState<Progress[]>([])
  const pull = useMutation({
    mutationFn: (input: { image: string; username?: string; password?: string }) => {
      setSteps([])
      return runTask({ kind: 'pull', title: input.image, to: '/images' }, (task) =>
        runWork<Image>({
          method: 'POST',
          path: '/image-pulls',
          json: input,
          signal: task.signal,
          onProgress: (step) => {
            task.step(step)
            setSteps((old) => mergeProgress(old, step))
          },
        }),
      )
    },
    onSettled: refresh,
  })
  return { pull, steps }
}

/** Gives an image a tag in a registry, as a task. */
export function usePush(image: Image) {
  const refresh = useRefresh()
  const [steps, setSteps] = useState<Progress[]>([])
  const push = useMutation({
    mutationFn: (input: { to: string; username?: string; password?: string }) => {
      setSteps([])
      return runTask({ kind: 'push', title: input.to, to: '/repositories' }, (task) =>
        runWork<PushResult>({
          method: 'POST',
          path: `/images/${encodeURIComponent(image.id)}/pushes`,
          json: input,
          signal: task.signal,
          onProgress: (step) => {
            task.step(step)
            setSteps((old) => mergeProgress(old, step))
          },
        }),
      )
    },
    onSettled: refresh,
  })
  return { push, steps }
}

export function useRemoveImage() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (image: Image) => answer(api.DELETE('/images/{ref}', { params: { path: { ref: image.id }, header: ifMatch(image.version) } })),
    onSettled: refresh,
  })
}
