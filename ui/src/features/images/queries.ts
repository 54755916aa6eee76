import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api } from '@/api/client'
import type { Image, Progress } from '@/api/model'
import { keys } from '@/api/queries'
import { mergeProgress, runWork, uploadFile } from '@/api/work'

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.images, keys.status].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export function usePull() {
  const refresh = useRefresh()
  const [steps, setSteps] = useState<Progress[]>([])
  const pull = useMutation({
    mutationFn: (input: { image: string; username?: string; password?: string }) => {
      setSteps([])
      return runWork<Image>({ method: 'POST', path: '/image-pulls', json: input, onProgress: (step) => setSteps((old) => mergeProgress(old, step)) })
    },
    onSettled: refresh,
  })
  return { pull, steps }
}

export function useImport() {
  const refresh = useRefresh()
  const [sent, setSent] = useState<{ bytes: number; total: number } | null>(null)
  const upload = useMutation({
    mutationFn: ({ file, name, signal }: { file: Blob; name: string; signal: AbortSignal }) => {
      setSent({ bytes: 0, total: file.size })
      return uploadFile<{ items: Image[] }>({ path: '/image-imports', query: { name }, file, signal, onSent: (bytes, total) => setSent({ bytes, total }) })
    },
    onSettled: refresh,
  })
  return { upload, sent }
}

export function useRemoveImage() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (image: Image) => answer(api.DELETE('/images/{ref}', { params: { path: { ref: image.id } } })),
    onSettled: refresh,
  })
}
