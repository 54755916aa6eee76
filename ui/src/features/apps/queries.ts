import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { answer, api, ifMatch } from '@/api/client'
import type { App, AppInput, Container, Progress, Service } from '@/api/model'
import { keys } from '@/api/queries'
import { mergeProgress, runWork } from '@/api/work'
import { runTask } from '@/shared/lib/tasks'

/** Makes every list that may show an app be asked again, without waiting for the event that says so. */
function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.apps, keys.services, keys.containers, keys.status, keys.volumes].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

/** Deploys an app, or puts a new revision of `present` in force, as a task of the top bar; keeps the steps as they come. */
export function useDeploy(present?: App) {
  const refresh = useRefresh()
  const [steps, setSteps] = useState<Progress[]>([])
  const deploy = useMutation({
    mutationFn: ({ name, ...input }: AppInput) => {
      setSteps([])
      return runTask({ kind: 'deploy', title: name, to: present ? `/apps/${encodeURIComponent(name)}` : undefined }, async (task) => {
        const app = await runWork<App>({
          ...(present ? { method: 'PUT', path: `/apps/${encodeURIComponent(present.id)}`, json: input, headers: ifMatch(present.version) } : { method: 'POST', path: '/apps', json: { name, ...input } }),
          signal: task.signal,
          onProgress: (step) => {
            task.step(step)
            setSteps((old) => mergeProgress(old, step))
          },
        })
        task.leadsTo(`/apps/${encodeURIComponent(app.name)}`)
        return app
      })
    },
    onSettled: refresh,
  })
  return { deploy, steps }
}

/** Puts an earlier revision in force again, as a task. */
export function useRollback(app: App) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (revision: number) =>
      runTask({ kind: 'deploy', title: app.name, to: `/apps/${encodeURIComponent(app.name)}`, cancel: false }, () =>
        answer(api.POST('/apps/{ref}/rollback', { params: { path: { ref: app.id }, header: ifMatch(app.version) }, body: { revision } })),
      ),
    onSettled: refresh,
  })
}

export const revisionsQuery = (app: App) =>
  queryOptions({
    queryKey: [...keys.apps, app.id, 'revisions', app.revision],
    queryFn: ({ signal }) => answer(api.GET('/apps/{ref}/revisions', { params: { path: { ref: app.id }, query: { limit: 100 } }, signal })),
  })

export const composeSchemaQuery = queryOptions({
  queryKey: ['compose-schema'],
  queryFn: ({ signal }) => answer(api.GET('/compose/schema', { signal })),
  staleTime: Infinity,
})

export function useAppAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ app, action }: { app: App; action: 'start' | 'stop' }) =>
      answer(api.POST(action === 'start' ? '/apps/{ref}/start' : '/apps/{ref}/stop', { params: { path: { ref: app.id } } })),
    onSettled: refresh,
  })
}

/** Does the same to several apps, one after the other; what one refuses does not hold the others up. */
export function useAppsAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async ({ apps, action }: { apps: App[]; action: 'start' | 'stop' | 'remove' }) => {
      const failures: { name: string; error: unknown }[] = []
      for (const { id, name } of apps) {
        const params = { path: { ref: id } }
        try {
          if (action === 'start') await answer(api.POST('/apps/{ref}/start', { params }))
          else if (action === 'stop') await answer(api.POST('/apps/{ref}/stop', { params }))
          else await answer(api.DELETE('/apps/{ref}', { params }))
        } catch (error) {
          failures.push({ name, error })
        }
      }
      return { done: apps.length - failures.length, failures }
    },
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

export function useServiceAction() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ service, action }: { service: Service; action: 'start' | 'stop' }) =>
      answer(api.POST(action === 'start' ? '/services/{ref}/start' : '/services/{ref}/stop', { params: { path: { ref: service.id } } })),
    onSettled: refresh,
  })
}

/** Rolls a service on to another image, as a task; `again` fetches anew what the same name means by now. */
export function useUpdateImage() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ service, image, again }: { service: Service; image: string; again: boolean }) =>
      runTask({ kind: 'deploy', title: `${service.appName}.${service.name}`, to: `/services/${encodeURIComponent(service.id)}`, cancel: false }, () =>
        answer(api.PATCH('/services/{ref}', { params: { path: { ref: service.id }, header: ifMatch(service.version) }, body: { image, ...(again ? { pull: 'always' as const } : {}) } })),
      ),
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
