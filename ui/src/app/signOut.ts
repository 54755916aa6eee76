import { useMutation, useQueryClient } from '@tanstack/react-query'
import { App } from 'antd'
import { createContext, use } from 'react'
import { useNavigate } from 'react-router'
import { answer, api } from '@/api/client'
import { asProblem } from '@/api/problem'
import { keys } from '@/api/queries'
import { setScopeTenant } from '@/api/scope'

/** Tells the frame that the person leaves, so that the session's end is no surprise to it. */
export const Leaving = createContext<() => void>(() => {})

export function useSignOut() {
  const navigate = useNavigate()
  const queries = useQueryClient()
  const leave = use(Leaving)
  const { message } = App.useApp()
  return useMutation({
    mutationFn: () => answer(api.DELETE('/session')),
    onSuccess: () => {
      leave()
      setScopeTenant('')
      queries.clear()
      queries.setQueryData(keys.session, null)
      void navigate('/sign-in')
    },
    onError: (error) => message.error(asProblem(error).message),
  })
}
