/** The part of JSON schema that the daemon's compose schema uses. */
export interface Schema {
  type?: string
  description?: string
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  additionalProperties?: boolean | Schema
  items?: Schema
  enum?: unknown[]
}

/** The forms that a value may have: the alternatives of anyOf, flat. */
function forms(schema: Schema): Schema[] {
  return schema.anyOf ? schema.anyOf.flatMap(forms) : [schema]
}

/** The schemas that hold at a path of keys and `[]`. */
export function schemasAt(root: Schema, path: readonly string[]): Schema[] {
  return path.reduce<Schema[]>(
    (at, part) =>
      at.flatMap(forms).flatMap((schema) => {
        if (part === '[]') return schema.items ? [schema.items] : []
        const own = schema.properties?.[part]
        if (own) return [own]
        return typeof schema.additionalProperties === 'object' ? [schema.additionalProperties] : []
      }),
    [root],
  )
}

export interface SchemaKey {
  key: string
  description: string
  /** What the value may be: it decides what is written after the key. */
  holds: 'mapping' | 'list' | 'value'
}

/** The keys that a mapping at a path may have. */
export function keysAt(root: Schema, path: readonly string[]): SchemaKey[] {
  const found = new Map<string, SchemaKey>()
  for (const schema of schemasAt(root, path).flatMap(forms)) {
    for (const [key, value] of Object.entries(schema.properties ?? {})) {
      if (found.has(key)) continue
      const kinds = forms(value).map(({ type }) => type)
      const plain = kinds.some((kind) => kind === 'string' || kind === 'number' || kind === 'integer' || kind === 'boolean')
      found.set(key, { key, description: value.description ?? '', holds: plain ? 'value' : kinds.includes('array') ? 'list' : kinds.includes('object') ? 'mapping' : 'value' })
    }
  }
  return [...found.values()]
}

/** The values that are known beforehand: truth, and those that the schema counts up. */
export function valuesAt(root: Schema, path: readonly string[]): string[] {
  const schemas = schemasAt(root, path).flatMap(forms)
  const counted = schemas.flatMap((schema) => (schema.enum ?? []).map(String))
  // Every scalar may be read as text, truth included: truth is proposed only where it is meant.
  const truth = schemas.some(({ type }) => type === 'boolean') && !schemas.some(({ type }) => type === 'string')
  return [...new Set([...counted, ...(truth ? ['true', 'false'] : [])])]
}
