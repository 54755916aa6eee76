import type { FileStore } from '@/shared/files/store'
import type { Place } from '@/shared/files/paths'
import { address, answer, api, dress, learnIndex } from './client'
import { asProblem, problemFrom } from './problem'

const where = ({ path, raw }: Place) => (raw === undefined ? { path } : { rawPath: raw })

/** The files of a container. */
export function containerFiles(ref: string): FileStore {
  const path = { ref }
  const base = `/containers/${encodeURIComponent(ref)}`
  return {
    key: base,
    list: (place, signal) => answer(api.GET('/containers/{ref}/files', { params: { path, query: where(place) }, signal })),
    href: (place) => address(`${base}/file`, where(place)),
    archive: (place) => address(`${base}/archive`, { path: place.path }),
    upload: (place, file, progress, signal) => putFile(address(`${base}/file`, where(place)), file, progress, signal),
    makeFolder: (place) => answer(api.POST('/containers/{ref}/folders', { params: { path, query: where(place) } })),
    remove: (place, recursive) => answer(api.DELETE('/containers/{ref}/files', { params: { path, query: { ...where(place), recursive } } })),
  }
}

/** The files of a volume. */
export function volumeFiles(ref: string): FileStore {
  const path = { ref }
  const base = `/volumes/${encodeURIComponent(ref)}`
  return {
    key: base,
    list: (place, signal) => answer(api.GET('/volumes/{ref}/files', { params: { path, query: where(place) }, signal })),
    href: (place) => address(`${base}/file`, where(place)),
    upload: (place, file, progress, signal) => putFile(address(`${base}/file`, where(place)), file, progress, signal),
    makeFolder: (place) => answer(api.POST('/volumes/{ref}/folders', { params: { path, query: where(place) } })),
    remove: (place, recursive) => answer(api.DELETE('/volumes/{ref}/files', { params: { path, query: { ...where(place), recursive } } })),
  }
}

/** Sends a file as it is. XMLHttpRequest, because fetch does not tell how much has been sent. */
function putFile(url: string, file: File, progress: (sent: number, total: number) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('PUT', url)
    dress(new Request(url, { method: 'PUT' })).headers.forEach((value, name) => request.setRequestHeader(name, value))
    request.setRequestHeader('Content-Type', 'application/octet-stream')
    request.setRequestHeader('Accept', 'application/json')
    request.responseType = 'json'
    request.upload.onprogress = (event) => progress(event.loaded, event.total)
    request.onload = () => {
      learnIndex(request.getResponseHeader('Skerry-Index'))
      if (request.status >= 200 && request.status < 300) resolve()
      else reject(problemFrom(request.response, request.status, request.getResponseHeader('Skerry-Request-Id') ?? ''))
    }
    request.onerror = () => reject(asProblem(new TypeError('upload failed')))
    const stop = () => {
      request.abort()
      reject(new DOMException('upload stopped', 'AbortError'))
    }
    if (signal.aborted) return stop()
    signal.addEventListener('abort', stop)
    request.send(file)
  })
}
