/** English words about containers, services, volumes, nodes: what runs and its data. Top-level keys are not those of en.ts. */
export const runtime = {}
