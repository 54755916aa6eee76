import { useSyncExternalStore } from 'react'

/**
 * The long work that this page has begun (uploads, deployments, pulls, pushes), shown in the top bar with progress and
 * cancel wherever the person goes. It lives as long as the page: what the node works on by itself goes on without it.
 *
 * Whoever begins long work runs it in a task:
 *
 *     const image = await runTask({ kind: 'upload', title: file.name, to: '/images' }, (task) =>
 *       uploadFile({ ..., signal: task.signal, onSent: (sent, total) => task.progress(sent, total) }))
 *
 *     await runTask({ kind: 'pull', title: name }, (task) => runWork({ ..., signal: task.signal, onProgress: task.step }))
 *
 * The promise is the work's own: it resolves and rejects as the work does, so the form that began it shows its result or
 * refusal as ever. A rejection after the person cancelled (AbortError) is the task's end `cancelled`, not a failure.
 * Work that cannot be stopped leaves `signal` alone and says `cancel: false`; work whose bytes leave this page says
 * `leaving: true`, so that closing the page asks first (uploads are so by themselves).
 */
export type TaskKind = 'upload' | 'download' | 'deploy' | 'pull' | 'push' | 'work'
export type TaskState = 'running' | 'done' | 'failed' | 'cancelled'

export interface TaskOptions {
  kind: TaskKind
  /** What is being worked on, by name: an app, an image, a file. The kind is put before it in words. */
  title: string
  /** Path within the console where the work's object is seen. */
  to?: string
  /** False where the work cannot be stopped. Default: true. */
  cancel?: boolean
  /** True where leaving the page ends the work. Default: true for uploads and downloads. */
  leaving?: boolean
}

/** A step as the daemon reports it; structurally a Progress of the contract. */
export interface TaskStep {
  id: string
  step: string
  message?: string
  current?: number
  total?: number
}

export interface Task extends Required<Omit<TaskOptions, 'to'>> {
  id: number
  to?: string
  state: TaskState
  /** Milliseconds since 1970. */
  startedAt: number
  endedAt?: number
  /** Bytes (or whatever is counted) done and in all; absent while nobody knows. */
  current?: number
  total?: number
  /** One line about what is done just now. */
  detail?: string
  /** The newest report of each step, in the order in which they began. */
  steps: TaskStep[]
  problem?: { message: string; code: string; requestId: string }
}

/** What the work gets to report with. Every method may be handed on by itself. */
export interface TaskHandle {
  id: number
  /** Aborted when the person cancels. */
  signal: AbortSignal
  progress: (current: number, total?: number) => void
  detail: (text: string) => void
  /** Takes a step of the daemon's progress stream. */
  step: (step: TaskStep) => void
  /** Names where the object is seen, once that is known. */
  leadsTo: (path: string) => void
}

/** Ended tasks that are kept to be looked at. */
const keptEnded = 20

let tasks: readonly Task[] = []
let nextId = 1
let telling: ReturnType<typeof setTimeout> | undefined
const stops = new Map<number, AbortController>()
const listeners = new Set<() => void>()

function tell() {
  clearTimeout(telling)
  telling = undefined
  for (const listener of listeners) listener()
}

function change(id: number, part: Partial<Task>) {
  tasks = tasks.map((task) => (task.id === id ? { ...task, ...part } : task))
  if (part.state) tell()
  // Progress may come a thousand times a second; nobody reads faster than this.
  else telling ??= setTimeout(tell, 100)
}

const find = (id: number) => tasks.find((task) => task.id === id)

/** Runs work as a task and returns its promise. */
export async function runTask<T>(options: TaskOptions, work: (task: TaskHandle) => Promise<T>): Promise<T> {
  const id = nextId++
  const stop = new AbortController()
  stops.set(id, stop)
  const bytesOfThisPage = options.kind === 'upload' || options.kind === 'download'
  const task: Task = { id, kind: options.kind, title: options.title, to: options.to, cancel: options.cancel ?? true, leaving: options.leaving ?? bytesOfThisPage, state: 'running', startedAt: Date.now(), steps: [] }
  const ended = tasks.filter(({ state }) => state !== 'running').slice(0, keptEnded)
  tasks = [task, ...tasks.filter((each) => each.state === 'running' || ended.includes(each))]
  tell()
  const end = (part: Partial<Task> & { state: TaskState }) => {
    stops.delete(id)
    change(id, { ...part, endedAt: Date.now() })
    guard()
  }
  guard()
  try {
    const result = await work({
      id,
      signal: stop.signal,
      progress: (current, total) => change(id, total === undefined ? { current } : { current, total }),
      detail: (detail) => change(id, { detail }),
      step: (step) => change(id, stepped(find(id), step)),
      leadsTo: (to) => change(id, { to }),
    })
    end({ state: 'done' })
    return result
  } catch (error) {
    const cancelled = stop.signal.aborted || (error instanceof DOMException && error.name === 'AbortError')
    if (cancelled) end({ state: 'cancelled' })
    else end({ state: 'failed', problem: problemOf(error) })
    throw error
  }
}

/** Adds a step to a task; the steps that have bytes make its progress. */
function stepped(task: Task | undefined, next: TaskStep): Partial<Task> {
  if (!task) return {}
  const known = task.steps.some((step) => step.id === next.id)
  const steps = known ? task.steps.map((step) => (step.id === next.id ? { ...step, ...next } : step)) : [...task.steps, next]
  const sized = steps.filter((step) => step.total)
  const sum = (of: (step: TaskStep) => number | undefined) => sized.reduce((all, step) => all + (of(step) ?? 0), 0)
  return { steps, detail: next.message || next.step, ...(sized.length > 0 ? { current: sum((step) => step.current), total: sum((step) => step.total) } : {}) }
}

/** An error of any kind as sentence, code and request id; ApiProblem has all three. */
function problemOf(error: unknown): NonNullable<Task['problem']> {
  const known = error as { message?: unknown; code?: unknown; requestId?: unknown } | null
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return { message: text(known?.message) || String(error), code: text(known?.code), requestId: text(known?.requestId) }
}

const ask = (event: BeforeUnloadEvent) => event.preventDefault()

/** Asks before the page is left while it is sending or fetching bytes. */
function guard() {
  if (tasks.some((task) => task.state === 'running' && task.leaving)) addEventListener('beforeunload', ask)
  else removeEventListener('beforeunload', ask)
}

/** Stops a task: its signal is aborted, and its work rejects. */
export function cancelTask(id: number) {
  stops.get(id)?.abort()
}

/** Takes an ended task from the list. */
export function dismissTask(id: number) {
  tasks = tasks.filter((task) => task.id !== id || task.state === 'running')
  tell()
}

/** Takes every ended task from the list. */
export function dismissEnded() {
  tasks = tasks.filter((task) => task.state === 'running')
  tell()
}

/** Every task, newest first. */
export function currentTasks(): readonly Task[] {
  return tasks
}

export function subscribeTasks(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Every task, newest first, renewed as they go on. */
export function useTasks(): readonly Task[] {
  return useSyncExternalStore(subscribeTasks, currentTasks)
}
