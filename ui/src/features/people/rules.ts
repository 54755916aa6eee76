/** What the server lets users and tenants be called (appliance/access), checked while typing. */
export const userName = /^[a-z0-9][a-z0-9._@-]{0,62}$/
export const tenantName = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/** The shortest password that the server takes, in characters. */
export const shortestPassword = 10

export const platformRoles = ['admin', 'auditor'] as const
export const tenantRoles = ['owner', 'developer', 'viewer'] as const

const letters = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'

/** A password that can be read out: 20 letters and digits without those that look alike, some 116 bits. */
export function makePassword(): string {
  let made = ''
  while (made.length < 20) {
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      // Taking the remainder of what lies beyond would favour the first letters.
      if (byte < letters.length * 4 && made.length < 20) made += letters[byte % letters.length]
    }
  }
  return made
}

/** Rows of the form for a user's roles, and back. */
export interface RoleRow {
  tenant?: string
  role?: (typeof tenantRoles)[number]
}

export function rowsOf(tenants: Record<string, string> | undefined): RoleRow[] {
  return Object.entries(tenants ?? {}).map(([tenant, role]) => ({ tenant, role: role as RoleRow['role'] }))
}

export function rolesOf(rows: RoleRow[]): Record<string, NonNullable<RoleRow['role']>> {
  return Object.fromEntries(rows.flatMap(({ tenant, role }) => (tenant && role ? [[tenant, role] as const] : [])))
}
