import { Skeleton } from 'antd'
import { lazy, Suspense } from 'react'
import type { CodeEditorProps } from './CodeEditor'

export type { CodeEditorProps, TextProblem } from './CodeEditor'
export type { Schema } from './schema'

const Loaded = lazy(() => import('./CodeEditor'))

/** A text editor with line numbers, search, completion and problems at their lines. Its code is loaded when it is first shown. */
export function Editor(props: CodeEditorProps) {
  return (
    <Suspense
      fallback={
        <div className="sk-editor" style={{ minHeight: props.minHeight ?? '220px', padding: 16 }}>
          <Skeleton active title={false} paragraph={{ rows: 5 }} />
        </div>
      }
    >
      <Loaded {...props} />
    </Suspense>
  )
}
