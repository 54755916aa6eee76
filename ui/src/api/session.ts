import { useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api, setCsrf } from './client'
import type { Me } from './model'
import { keys } from './queries'
import { setScopeTenant } from './scope'

/**
 * Signs the person whose session ended in again, over the page: what was typed stays, and everything shown is asked anew.
 * When it is another person, nothing of the first one's may stay.
 */
export function useSignInAgain(before: Me) {
  const queries = useQueryClient()
  return useMutation({
    mutationFn: (input: { name: string; password: string }) => answer(api.POST('/session', { body: input })),
    onSuccess: (me) => {
      setCsrf(me.csrf)
      if (me.userId !== before.userId || me.name !== before.name) {
        setScopeTenant('')
        queries.clear()
      }
      queries.setQueryData(keys.session, me)
      void queries.invalidateQueries({ predicate: (query) => query.queryKey[0] !== keys.session[0] })
    },
  })
}
