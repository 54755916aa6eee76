import createClient, { type Middleware } from 'openapi-fetch'
import type { paths } from './__generated__/schema'
import { ApiProblem, asProblem, problemFrom } from './problem'
import { isScoped, scopeTenant } from './scope'

const root = '/api/v1'

/** The CSRF word of the session, sent with every write. */
let csrf = ''
/** The newest raft index that an answer named: sent back, so that what was written is read on whatever node answers. */
let index = 0

export function setCsrf(word: string) {
  csrf = word
}

/** Adds to a request what every request of the console carries. */
export function dress(request: Request): Request {
  if (index > 0) request.headers.set('Skerry-Index', String(index))
  if (csrf && request.method !== 'GET' && request.method !== 'HEAD') request.headers.set('Skerry-CSRF', csrf)
  return request
}

/** Takes from an answer what the next request needs. */
export function learn(response: Response) {
  // Whoever shows the session asks whether it is still there; a refused sign-in is no news to anybody.
  if (response.status === 401) dispatchEvent(new Event('skerry-unauthorized'))
  const seen = Number(response.headers.get('Skerry-Index'))
  if (seen > index) index = seen
}

const carry: Middleware = {
  async onRequest({ request }) {
    const url = new URL(request.url)
    if (!scopeTenant() || !isScoped(url.pathname.slice(root.length)) || url.searchParams.has('tenant')) return dress(request)
    url.searchParams.set('tenant', scopeTenant())
    // A request's address cannot be changed, and a body handed on as a stream is refused by browsers over HTTP/1.1.
    const body = request.method === 'GET' || request.method === 'HEAD' ? undefined : await request.text()
    return dress(new Request(url, { method: request.method, headers: request.headers, body: body || undefined, signal: request.signal }))
  },
  onResponse({ response }) {
    learn(response)
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
    throw problemFrom(result.error, result.response.status, result.response.headers.get('Skerry-Request-Id') ?? '')
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
