import { useQueryClient } from '@tanstack/react-query'
import { useLocation, useNavigate } from 'react-router'
import { chooseTenant } from '@/api/scope'

/** Looks at another tenant; the page of an object of the one before gives way to the list that it was in. */
export function useChooseTenant(): (id: string) => void {
  const queries = useQueryClient()
  const navigate = useNavigate()
  const { pathname } = useLocation()
  return (id) => {
    const [, list = '', rest] = pathname.split('/')
    if (rest !== undefined && rest !== 'new') void navigate(`/${list}`)
    chooseTenant(queries, id)
  }
}
