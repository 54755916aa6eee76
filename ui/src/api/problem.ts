import { i18next } from '@/shared/lib/i18n'
import type { Problem } from './model'
import { noteRefusal } from './reach'

/** The one error type of the console: what a problem document says, or that there was no answer at all. */
export class ApiProblem extends Error {
  /** HTTP status; 0 when no answer came. */
  readonly status: number
  /** Stable word for programs. */
  readonly code: string
  readonly requestId: string
  /** Where in the request, e.g. `services.web.ports[0].hostPort`; empty when it is about the whole. */
  readonly field: string
  /** It is about the whole cluster (nobody leads), and the frame says so. */
  ofCluster = false
  /** It tells a reader nothing that the frame does not say already, so it is shown quietly. */
  said = false

  constructor(problem: { status: number; code: string; detail: string; requestId?: string; field?: string }) {
    super(problem.detail)
    this.name = 'ApiProblem'
    this.status = problem.status
    this.code = problem.code
    this.requestId = problem.requestId ?? ''
    this.field = problem.field ?? ''
  }
}

/** Makes an ApiProblem of an answer that was not as asked. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const text = await response.text().catch(() => '')
  return problemFrom(parse(text), response.status, response.headers.get('Skerry-Request-Id') ?? '')
}

/** Makes an ApiProblem of a decoded body, which may be anything when something between us and the daemon answered. */
export function problemFrom(body: unknown, status: number, requestId = ''): ApiProblem {
  if (isProblem(body)) {
    const problem = new ApiProblem(body)
    problem.ofCluster = noteRefusal(body.status, body.code)
    return problem
  }
  return new ApiProblem({ status, code: `http_${status}`, detail: i18next.t('problem.unreadable', { status }), requestId })
}

/** Makes an ApiProblem of whatever was thrown. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error
  if (error instanceof TypeError || (error instanceof DOMException && error.name === 'NetworkError')) {
    return new ApiProblem({ status: 0, code: 'no_connection', detail: i18next.t('problem.noConnection') })
  }
  return new ApiProblem({ status: 0, code: 'console_fault', detail: i18next.t('problem.fault', { reason: String(error) }) })
}

function isProblem(body: unknown): body is Problem {
  return typeof body === 'object' && body !== null && typeof (body as Problem).code === 'string' && typeof (body as Problem).detail === 'string'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
