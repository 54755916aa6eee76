import { readEventStream } from '@/shared/lib/sse'
import { address, dress, learn, learnIndex } from './client'
import type { Problem, Progress } from './model'
import { ApiProblem, asProblem, problemFrom, problemOf } from './problem'

export interface WorkRequest {
  method: 'POST' | 'PUT'
  path: string
  query?: Record<string, string | number | boolean | undefined>
  json?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  onProgress: (step: Progress) => void
}

/**
 * Starts long work and reports its steps until it is done; returns the result. Throws ApiProblem when it is refused, fails
 * or the connection is lost: the work itself may then go on, and what it made appears through events.
 */
export async function runWork<T>(work: WorkRequest): Promise<T> {
  let response: Response
  try {
    response = await fetch(
      dress(
        new Request(address(work.path, work.query), {
          method: work.method,
          headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream', ...work.headers },
          body: JSON.stringify(work.json),
          signal: work.signal,
        }),
      ),
    )
  } catch (error) {
    throw isAbort(error) ? error : asProblem(error)
  }
  learn(response, false)
  if (!response.ok) throw await problemOf(response)
  if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) return (await response.json()) as T
  try {
    for await (const event of readEventStream(response)) {
      if (event.event === 'progress') work.onProgress(JSON.parse(event.data) as Progress)
      else if (event.event === 'done') return JSON.parse(event.data) as T
      else if (event.event === 'problem') throw problemFrom(JSON.parse(event.data) as Problem, 0)
    }
  } catch (error) {
    throw error instanceof ApiProblem || isAbort(error) ? error : asProblem(error)
  }
  throw asProblem(new TypeError('the stream ended before the work was done'))
}

const isAbort = (error: unknown) => error instanceof DOMException && error.name === 'AbortError'

/** Keeps the newest report of each step, in the order in which the steps began. */
export function mergeProgress(steps: Progress[], next: Progress): Progress[] {
  const at = steps.findIndex((step) => step.id === next.id)
  if (at < 0) return [...steps, next]
  return steps.map((step, i) => (i === at ? { ...step, ...next } : step))
}

export interface Upload {
  path: string
  query?: Record<string, string | undefined>
  file: Blob
  signal?: AbortSignal
  /** Bytes that have left this computer. */
  onSent: (sent: number, total: number) => void
}

/** Uploads a file and returns the JSON answer. XMLHttpRequest, because fetch does not tell how much has been sent. */
export function uploadFile<T>(upload: Upload): Promise<T> {
  return new Promise((resolve, reject) => {
    const url = address(upload.path, upload.query)
    const headers = dress(new Request(url, { method: 'POST' })).headers
    const request = new XMLHttpRequest()
    request.open('POST', url)
    headers.forEach((value, name) => request.setRequestHeader(name, value))
    request.setRequestHeader('Content-Type', 'application/x-tar')
    request.setRequestHeader('Accept', 'application/json')
    request.responseType = 'json'
    request.upload.onprogress = (event) => upload.onSent(event.loaded, event.total)
    request.onload = () => {
      learnIndex(request.getResponseHeader('Skerry-Index'))
      if (request.status >= 200 && request.status < 300) resolve(request.response as T)
      else reject(problemFrom(request.response, request.status, request.getResponseHeader('Skerry-Request-Id') ?? ''))
    }
    request.onerror = () => reject(asProblem(new TypeError('upload failed')))
    request.onabort = () => reject(new DOMException('upload stopped', 'AbortError'))
    upload.signal?.addEventListener('abort', () => request.abort())
    request.send(upload.file)
  })
}
