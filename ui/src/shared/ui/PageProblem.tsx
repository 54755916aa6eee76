import type { ReactNode } from 'react'
import { Page } from './Page'
import { ProblemAlert, type ProblemLike } from './ProblemAlert'

/** The page of an object that could not be read: its name as far as it is known, why, and another try. */
export function PageProblem({ title, back, problem, retry }: { title: string; back: ReactNode; problem: ProblemLike; retry: () => void }) {
  return (
    <Page title={title} plainTitle={title} back={back}>
      <ProblemAlert problem={problem} retry={retry} />
    </Page>
  )
}
