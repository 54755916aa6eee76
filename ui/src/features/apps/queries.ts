import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api, ifMatch } from '@/api/client'
import type { App, AppInput, Container, Progress, Service } from '@/api/model'
import { keys } from '@/api/queries'
import { mergeProgress, runWork } from '@/api/work'

/** Makes every list that may show an app be asked again, without waiting for the event that says so. */
function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.apps, keys.services, keys.containers, keys.status, keys.volumes].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

/** Deploys an app and keeps the steps as they come. */
export function useDeploy() {
  const refresh = useRefresh()
  const [steps, setSteps] = useState<Progress[]>([])
  const deploy = useMutation({
    mutationFn: (input: AppInput) => {
      setSteps([])
      return runWork<App>({ method: 'POST', path: '/apps', json: input, onProgress: (step) => setSteps((old) => mergeProgress(old, step)) })
    },
    onSettled: refresh,
  })
  return { deploy, steps }
}

export function useAppAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ app, action }: { app: App; action: 'start' | 'stop' }) =>
      answer(api.POST(action === 'start' ? '/apps/{ref}/start' : '/apps/{ref}/stop', { params: { path: { ref: app.id } } })),
    onSettled: refresh,
  })
}

/** Restarts the given containers one after the other, so that a service with several replicas goes on answering. */
export function useRestartAll() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async (containers: Container[]) => {
      for (const { id } of containers) await answer(api.POST('/containers/{ref}/restart', { params: { path: { ref: id }, query: { wait: 60 } } }))
    },
    onSettled: refresh,
  })
}

export function useRemoveApp() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ app, volumes }: { app: App; volumes: boolean }) => answer(api.DELETE('/apps/{ref}', { params: { path: { ref: app.id }, query: { volumes, wait: 60 } } })),
    onSettled: refresh,
  })
}

export function useScale() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ service, replicas }: { service: Service; replicas: number }) =>
      answer(api.PATCH('/services/{ref}', { params: { path: { ref: service.id }, header: ifMatch(service.version) }, body: { replicas } })),
    onSettled: refresh,
  })
}

export type ContainerAction = 'start' | 'stop' | 'restart' | 'kill'

export function useContainerAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async ({ container, action }: { container: Container; action: ContainerAction }) => {
      const params = { path: { ref: container.id } }
      if (action === 'start') await answer(api.POST('/containers/{ref}/start', { params }))
      else if (action === 'stop') await answer(api.POST('/containers/{ref}/stop', { params, body: {} }))
      else if (action === 'restart') await answer(api.POST('/containers/{ref}/restart', { params, body: {} }))
      else await answer(api.POST('/containers/{ref}/kill', { params, body: { signal: 'SIGKILL' } }))
    },
    onSettled: refresh,
  })
}
