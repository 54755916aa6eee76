/** English words about apps, services, dashboard, palette and tasks. Top-level keys are not those of en.ts. */
export const stacks = {
  same: { token: 'Put an API token into SKERRY_TOKEN first: Account, API tokens.' },
}
