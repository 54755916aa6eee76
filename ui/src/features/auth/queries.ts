import { useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, setCsrf } from '@/api/client'
import type { Me } from '@/api/model'
import { keys } from '@/api/queries'

/** Takes a new session in force: what an earlier person saw is forgotten first. */
function useEnter() {
  const queries = useQueryClient()
  return (me: Me) => {
    queries.clear()
    setCsrf(me.csrf)
    queries.setQueryData(keys.session, me)
    queries.setQueryData(keys.setup, { needed: false })
  }
}

export function useSignIn() {
  const enter = useEnter()
  return useMutation({
    mutationFn: (input: { name: string; password: string }) => answer(api.POST('/session', { body: input })),
    onSuccess: enter,
  })
}

export function useSetup() {
  const enter = useEnter()
  return useMutation({
    mutationFn: (input: { token: string; name: string; password: string }) => answer(api.POST('/setup', { body: input })),
    onSuccess: enter,
  })
}
