import { keepPreviousData, queryOptions, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { answer, api } from '@/api/client'
import type { AppInput, AppPlan } from '@/api/model'
import { keys } from '@/api/queries'

/** The plan is part of what the apps are: whatever changes them makes it stale. */
const planQuery = (input: AppInput | null, body: string) =>
  queryOptions({
    queryKey: [...keys.apps, 'plan', body],
    queryFn: ({ signal }) => answer(api.POST('/app-plans', { body: input ?? { name: '' }, signal })),
    enabled: input !== null,
    placeholderData: keepPreviousData,
    retry: false,
    gcTime: 10_000,
  })

/** What deploying would do, asked anew shortly after the person stops typing; nothing while there is nothing to plan. */
export function usePlan(input: AppInput | null) {
  const wanted = input ? JSON.stringify(input) : ''
  const [settled, setSettled] = useState(wanted)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(wanted), 400)
    return () => clearTimeout(timer)
  }, [wanted])
  const plan = useQuery(planQuery(settled ? (JSON.parse(settled) as AppInput) : null, settled))
  return { plan: wanted === '' ? undefined : plan.data, error: wanted === '' || settled === '' ? null : plan.error, current: settled === wanted && !plan.isFetching }
}

export interface PlanNumbers {
  created: number
  replaced: number
  removed: number
  kept: number
}

/** How many containers a plan makes, makes anew, takes away and leaves. */
export function countPlan(plan: AppPlan): PlanNumbers {
  const numbers = { created: 0, replaced: 0, removed: 0, kept: 0 }
  for (const { containersBefore: before, containersAfter: after, containersReplaced: replaced } of plan.services) {
    const anew = Math.min(replaced, after)
    numbers.replaced += anew
    numbers.created += Math.max(0, after - before)
    numbers.removed += Math.max(0, before - after)
    numbers.kept += Math.max(0, Math.min(before, after) - anew)
  }
  return numbers
}
