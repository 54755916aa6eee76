// Generates src/api/__generated__/schema.ts from the API contract. The contract is the only source of the console's types.
import { mkdir, writeFile } from 'node:fs/promises'
import openapiTS, { astToString } from 'openapi-typescript'

const contract = new URL('../../appliance/api/openapi.yaml', import.meta.url)
const target = new URL('../src/api/__generated__/schema.ts', import.meta.url)

const ast = await openapiTS(contract, { defaultNonNullable: false })
await mkdir(new URL('.', target), { recursive: true })
await writeFile(target, '// Generated from appliance/api/openapi.yaml. Do not edit.\n' + astToString(ast))
