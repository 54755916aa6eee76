import { queryOptions, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '@/api/client'
import { keys } from '@/api/queries'

export const certificateQuery = queryOptions({
  queryKey: keys.certificate,
  queryFn: ({ signal }) => answer(api.GET('/certificate', { signal })),
})

function useRefresh() {
  const queries = useQueryClient()
  return async () => {
    await Promise.all([keys.certificate, keys.registry].map((queryKey) => queries.invalidateQueries({ queryKey })))
  }
}

export function usePutCertificate() {
  const refresh = useRefresh()
  return useMutation({
    mutationFn: (input: { certificate: string; key: string }) => answer(api.PUT('/certificate', { body: input })),
    onSettled: refresh,
  })
}

export function useResetCertificate() {
  const refresh = useRefresh()
  return useMutation({ mutationFn: () => answer(api.DELETE('/certificate')), onSettled: refresh })
}
