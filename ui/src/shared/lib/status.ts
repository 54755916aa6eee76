import type { Tokens } from './tokens'

/** The status vocabulary: one word per state, everywhere. `stopping`, `removing` and `completed` name passages and ends that apps have. */
export const statusWords = ['running', 'starting', 'updating', 'draining', 'stopping', 'removing', 'degraded', 'failed', 'stopped', 'completed', 'unknown'] as const
export type StatusWord = (typeof statusWords)[number]

/** The tone of each word. The word is always there beside the colour. */
export const statusTone: Record<StatusWord, keyof Pick<Tokens, 'green' | 'blue' | 'orange' | 'red' | 'grey'>> = {
  running: 'green',
  starting: 'blue',
  updating: 'blue',
  draining: 'blue',
  stopping: 'blue',
  removing: 'blue',
  degraded: 'orange',
  failed: 'red',
  stopped: 'grey',
  completed: 'grey',
  unknown: 'grey',
}
