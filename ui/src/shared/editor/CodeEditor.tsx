import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type Completion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, foldGutter, foldKeymap, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint'
import { highlightSelectionMatches, searchKeymap } from '@codemirror/search'
import { Annotation, Compartment, EditorState } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'
import { keysAt, valuesAt, type Schema } from './schema'
import { yamlPlace } from './yamlPath'

/** Something that is wrong with the text. */
export interface TextProblem {
  /** From 1; 0 or absent where unknown. */
  line?: number
  column?: number
  message: string
  severity?: 'error' | 'warning'
}

export interface CodeEditorProps {
  value: string
  onChange?: (value: string) => void
  label: string
  language?: 'yaml' | 'plain'
  problems?: TextProblem[]
  /** The JSON schema that completion proposes from. */
  schema?: Schema
  /** More values for a place, such as the images that are here. */
  values?: (path: string[]) => string[]
  readOnly?: boolean
  /** CSS lengths. */
  minHeight?: string
  maxHeight?: string
}

/** Marks changes that come from outside, which are not told back. */
const outside = Annotation.define<boolean>()

// The colours are the console's own variables, so that both schemes and their change need nothing here. CodeMirror writes
// its rules into style elements at run time, which the content policy allows for styles (never for scripts).
const theme = EditorView.theme({
  '&': { backgroundColor: 'var(--sk-surface)', color: 'var(--sk-text)', fontSize: '13px' },
  '&.cm-focused': { outline: 'none' },
  '.cm-content': { fontFamily: 'var(--sk-mono)', caretColor: 'var(--sk-text)', padding: '8px 0' },
  '.cm-cursor': { borderLeftColor: 'var(--sk-text)' },
  '.cm-gutters': { backgroundColor: 'var(--sk-surface)', color: 'var(--sk-muted)', border: 'none', borderRight: '1px solid var(--sk-line)' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--sk-hover)' },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground, ::selection': { backgroundColor: 'var(--sk-accent-soft) !important' },
  '.cm-selectionMatch, .cm-searchMatch': { backgroundColor: 'var(--sk-mark)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--sk-accent-soft) !important' },
  '.cm-panels': { backgroundColor: 'var(--sk-raised)', color: 'var(--sk-text)', borderColor: 'var(--sk-line)' },
  '.cm-textfield': { backgroundColor: 'var(--sk-surface)', border: '1px solid var(--sk-line)', borderRadius: '4px', color: 'var(--sk-text)' },
  '.cm-button': { backgroundImage: 'none', backgroundColor: 'var(--sk-hover)', border: '1px solid var(--sk-line)', borderRadius: '4px', color: 'var(--sk-text)' },
  '.cm-tooltip': { backgroundColor: 'var(--sk-raised)', color: 'var(--sk-text)', border: '1px solid var(--sk-line)', borderRadius: '6px', overflow: 'hidden', boxShadow: '0 4px 16px rgb(0 0 0 / 18%)' },
  '.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--sk-mono)', maxHeight: '260px' },
  '.cm-tooltip-autocomplete > ul > li': { padding: '3px 8px' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { backgroundColor: 'var(--sk-accent-soft)', color: 'var(--sk-text)' },
  '.cm-completionDetail': { fontStyle: 'normal', color: 'var(--sk-muted)', marginLeft: '12px', fontFamily: 'var(--sk-font)' },
  '.cm-completionInfo': { maxWidth: '320px', padding: '6px 10px', fontFamily: 'var(--sk-font)' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '600' },
  '.cm-diagnostic': { padding: '6px 10px', fontFamily: 'var(--sk-font)' },
  '.cm-diagnostic-error': { borderLeft: '3px solid var(--sk-red)' },
  '.cm-diagnostic-warning': { borderLeft: '3px solid var(--sk-orange)' },
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--sk-red)', textUnderlineOffset: '3px' },
  '.cm-lintRange-warning': { backgroundImage: 'none', textDecoration: 'underline wavy var(--sk-orange)', textUnderlineOffset: '3px' },
  '.cm-foldPlaceholder': { backgroundColor: 'var(--sk-hover)', border: 'none', color: 'var(--sk-muted)' },
})

const colours = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--sk-accent)' },
  { tag: [tags.string, tags.content], color: 'var(--sk-text)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'var(--sk-blue)' },
  { tag: tags.comment, color: 'var(--sk-muted)', fontStyle: 'italic' },
  { tag: [tags.keyword, tags.labelName, tags.typeName], color: 'var(--sk-orange)' },
  { tag: tags.invalid, color: 'var(--sk-red)' },
])

/** The editor itself; loaded when one is first shown (index.tsx). */
export default function CodeEditor({ value, onChange, label, language = 'yaml', problems, schema, values, readOnly, minHeight = '220px', maxHeight = '70vh' }: CodeEditorProps) {
  const holder = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(null)
  const newest = useRef({ onChange, schema, values })
  useEffect(() => {
    newest.current = { onChange, schema, values }
  })
  const settings = useRef(new Compartment())
  const first = useRef(value)

  useEffect(() => {
    if (!holder.current) return
    const propose = (context: CompletionContext) => complete(context, newest.current.schema, newest.current.values)
    const made = new EditorView({
      parent: holder.current,
      state: EditorState.create({
        doc: first.current,
        extensions: [
          lineNumbers(),
          foldGutter(),
          lintGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          indentUnit.of('  '),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          highlightSelectionMatches(),
          autocompletion({ override: [propose], icons: false }),
          EditorState.tabSize.of(2),
          EditorView.lineWrapping,
          // Escape and then Tab leaves the editor: CodeMirror's own rule for people without a mouse.
          keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap, indentWithTab]),
          syntaxHighlighting(colours),
          theme,
          settings.current.of([]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged && !update.transactions.some((each) => each.annotation(outside))) newest.current.onChange?.(update.state.doc.toString())
          }),
        ],
      }),
    })
    view.current = made
    return () => {
      // What was typed outlives a second mounting of the same component.
      first.current = made.state.doc.toString()
      made.destroy()
      view.current = null
    }
  }, [])

  useEffect(() => {
    view.current?.dispatch({
      effects: settings.current.reconfigure([
        EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false' }),
        EditorState.readOnly.of(readOnly ?? false),
        EditorView.editable.of(!readOnly),
        ...(readOnly ? [EditorView.contentAttributes.of({ tabindex: '0' })] : []),
        ...(language === 'yaml' ? [yaml()] : []),
      ]),
    })
  }, [label, readOnly, language])

  useEffect(() => {
    const present = view.current
    if (!present || present.state.doc.toString() === value) return
    present.dispatch({ changes: { from: 0, to: present.state.doc.length, insert: value }, annotations: outside.of(true) })
  }, [value])

  useEffect(() => {
    const present = view.current
    if (present) present.dispatch(setDiagnostics(present.state, (problems ?? []).map((problem) => placed(present.state, problem))))
  }, [problems])

  return <div ref={holder} className="sk-editor" style={{ minHeight, maxHeight }} />
}

/** A problem as a range: the word at its column, or its whole line. */
function placed(state: EditorState, { line = 0, column = 0, message, severity = 'error' }: TextProblem): Diagnostic {
  const at = state.doc.line(Math.min(Math.max(line, 1), state.doc.lines))
  const lead = /^\s*/.exec(at.text)?.[0].length ?? 0
  const from = at.from + (column > 0 ? Math.min(column - 1, at.length) : lead)
  const word = /^["']?[\w.${}/:-]+["']?/.exec(at.text.slice(from - at.from))?.[0].length ?? 0
  return { from, to: column > 0 && word > 0 ? from + word : at.to, severity, message }
}

function complete(context: CompletionContext, schema: Schema | undefined, values: CodeEditorProps['values']): CompletionResult | null {
  if (!schema) return null
  const line = context.state.doc.lineAt(context.pos)
  const column = context.pos - line.from
  if (/(^|\s)#/.test(line.text.slice(0, column))) return null
  const place = yamlPlace(context.state.doc.toString().split('\n'), line.number - 1, column)
  if (place.typed === '' && !context.explicit && place.at !== 'value') return null
  const from = line.from + place.from
  if (place.at === 'value') {
    const options: Completion[] = [...valuesAt(schema, place.path), ...(values?.(place.path) ?? [])].map((label) => ({ label, type: 'constant' }))
    return options.length > 0 ? { from, options, validFor: /^[\w./:@-]*$/ } : null
  }
  const indent = ' '.repeat(place.from)
  const known: Completion[] = keysAt(schema, place.path)
    .filter(({ key }) => !place.siblings.includes(key))
    .map(({ key, description, holds }) => ({
      label: key,
      detail: description.length > 48 ? undefined : description,
      info: description.length > 48 ? description : undefined,
      type: 'property',
      apply: holds === 'value' ? `${key}: ` : holds === 'list' ? `${key}:\n${indent}  - ` : `${key}:\n${indent}  `,
    }))
  return known.length > 0 ? { from, options: known, validFor: /^[\w-]*$/ } : null
}
