import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, ifMatch } from '@/api/client'
import type { Repository, Tag, Visibility } from '@/api/model'
import { asProblem, type ApiProblem } from '@/api/problem'
import { keys, page } from '@/api/queries'

export const repositoryQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.repositories, ref],
    queryFn: ({ signal }) => answer(api.GET('/repositories/{ref}', { params: { path: { ref } }, signal })),
  })

export const tagsQuery = (ref: string) =>
  queryOptions({
    queryKey: [...keys.repositories, ref, 'tags'],
    queryFn: ({ signal }) => answer(api.GET('/repositories/{ref}/tags', { params: { path: { ref }, query: { limit: page } }, signal })),
  })

export const manifestQuery = (ref: string, reference: string) =>
  queryOptions({
    queryKey: [...keys.repositories, ref, 'manifests', reference],
    queryFn: ({ signal }) => answer(api.GET('/repositories/{ref}/manifests/{reference}', { params: { path: { ref, reference } }, signal })),
  })

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.repositories, keys.registry].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export function useCreateRepository() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (input: { name: string; spec: { visibility: Visibility; description?: string } }) => answer(api.POST('/repositories', { body: input })),
    onSettled: refresh,
  })
}

export function useUpdateRepository(repository: Repository) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (spec: Repository['spec']) => answer(api.PUT('/repositories/{ref}', { params: { path: { ref: repository.id }, header: ifMatch(repository.version) }, body: { ...repository.spec, ...spec } })),
    onSettled: refresh,
  })
}

export function useRemoveRepository() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ repository, force }: { repository: Repository; force: boolean }) => answer(api.DELETE('/repositories/{ref}', { params: { path: { ref: repository.id }, query: { force: force || undefined } } })),
    onSettled: refresh,
  })
}

export interface TagsRemoved {
  removed: string[]
  bytes: number
  refused: { tag: string; problem: ApiProblem }[]
}

/** Removes tags one after the other: what one refuses does not keep the others. */
export function useRemoveTags(ref: string) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: async (tags: Tag[]): Promise<TagsRemoved> => {
      const result: TagsRemoved = { removed: [], bytes: 0, refused: [] }
      for (const { name } of tags) {
        try {
          const freed = await answer(api.DELETE('/repositories/{ref}/tags/{tag}', { params: { path: { ref, tag: name } } }))
          result.removed.push(name)
          result.bytes += freed.bytes
        } catch (error) {
          result.refused.push({ tag: name, problem: asProblem(error) })
        }
      }
      return result
    },
    onSettled: refresh,
  })
}

export function useRemoveManifest(ref: string) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ reference, force }: { reference: string; force: boolean }) => answer(api.DELETE('/repositories/{ref}/manifests/{reference}', { params: { path: { ref, reference }, query: { force: force || undefined } } })),
    onSettled: refresh,
  })
}

export function usePutTag(ref: string) {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: ({ tag, digest }: { tag: string; digest: string }) => answer(api.PUT('/repositories/{ref}/tags/{tag}', { params: { path: { ref, tag } }, body: { digest } })),
    onSettled: refresh,
  })
}

export function useCollect() {
  const refresh = useRefresh()
  return useMutation({ mutationFn: () => answer(api.POST('/registry/collections')), onSettled: refresh })
}
