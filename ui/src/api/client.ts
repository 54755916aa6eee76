import createClient, { type Middleware } from 'openapi-fetch'
import type { paths } from './__generated__/schema'
import { ApiProblem, asProblem, problemFrom } from './problem'
import { noteAnswer } from './reach'
import { isScoped, scopeTenant } from './scope'

const root = '/api/v1'

/** The CSRF word of the session, sent with every write. */
let csrf = ''
/**
 * The newest raft index that an answer named: sent back, so that what was written is read on whatever node answers. It holds
 * for this tab, reloads included, because after one another node may answer.
 */
let index = keptIndex()
/** How often in a row an answer said that the node has not seen that index. */
let missed = 0

const slot = 'skerry.index'

function keptIndex(): number {
  try {
    return Number(sessionStorage.getItem('skerry.index')) || 0
  } catch {
    return 0
  }
}

function keepIndex(next: number) {
  index = next
  try {
    if (next > 0) sessionStorage.setItem(slot, String(next))
    else sessionStorage.removeItem(slot)
  } catch {
    // Storage refused: the index holds until the page is left.
  }
}

/** Learns an index that an answer named. */
export function learnIndex(named: string | null) {
  const seen = Number(named)
  if (seen > index) keepIndex(seen)
}

/**
 * Learns that the node has not seen the index within its patience. After the third time in a row it is given up: the cluster
 * may have been made anew or recovered without that change, and then no node would ever answer.
 */
function learnMissed() {
  if (++missed >= 3) {
    keepIndex(0)
    missed = 0
  }
}

export function setCsrf(word: string) {
  csrf = word
}

/** Adds to a request what every request of the console carries. */
export function dress(request: Request): Request {
  if (index > 0) request.headers.set('Skerry-Index', String(index))
  if (csrf && request.method !== 'GET' && request.method !== 'HEAD') request.headers.set('Skerry-CSRF', csrf)
  return request
}

/** Takes from an answer what the next request needs. `reading` tells that it answers a read. */
export function learn(response: Response, reading: boolean) {
  // Whoever shows the session asks whether it is still there; a refused sign-in is no news to anybody.
  if (response.status === 401) dispatchEvent(new Event('skerry-unauthorized'))
  if (response.ok) missed = 0
  learnIndex(response.headers.get('Skerry-Index'))
  noteAnswer(response, reading)
}

/** Answers to reads: what the frame says of the whole cluster, a refused read need not say again. */
const reads = new WeakSet<Response>()
const isRead = ({ method }: Request) => method === 'GET' || method === 'HEAD'

const carry: Middleware = {
  async onRequest({ request }) {
    const url = new URL(request.url)
    if (!scopeTenant() || !isScoped(url.pathname.slice(root.length)) || url.searchParams.has('tenant')) return dress(request)
    url.searchParams.set('tenant', scopeTenant())
    // A request's address cannot be changed, and a body handed on as a stream is refused by browsers over HTTP/1.1.
    const body = request.method === 'GET' || request.method === 'HEAD' ? undefined : await request.text()
    return dress(new Request(url, { method: request.method, headers: request.headers, body: body || undefined, signal: request.signal }))
  },
  onResponse({ request, response }) {
    learn(response, isRead(request))
    if (isRead(request)) reads.add(response)
  },
}

/** The generated client. Calls go through `answer`, which throws ApiProblem instead of returning errors. */
export const api = createClient<paths>({ baseUrl: location.origin + root, fetch: (request) => fetch(request) })
api.use(carry)

/**
 * Waits for a call of `api` and returns its data, or throws an ApiProblem. Operations that can also answer with a stream are
 * asked for JSON, so the text that the contract allows there never comes.
 */
export async function answer<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<Exclude<T, string>> {
  let result
  try {
    result = await call
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw asProblem(error)
  }
  if (result.error !== undefined || !result.response.ok) {
    const problem = problemFrom(result.error, result.response.status, result.response.headers.get('Skerry-Request-Id') ?? '')
    if (problem.code === 'index_not_applied') learnMissed()
    problem.said = problem.ofCluster && reads.has(result.response)
    throw problem
  }
  return result.data as Exclude<T, string>
}

/** The address of an operation for streams and uploads, which the generated client does not carry. */
export function address(path: string, query: Record<string, string | number | boolean | undefined> = {}): string {
  const url = new URL(location.origin + root + path)
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') url.searchParams.set(name, String(value))
  if (scopeTenant() && isScoped(path) && !url.searchParams.has('tenant')) url.searchParams.set('tenant', scopeTenant())
  return url.toString()
}

/** The header that makes a write refuse when the object has changed since. */
export function ifMatch(version: number) {
  return { 'If-Match': `"${version}"` }
}

export { ApiProblem }
