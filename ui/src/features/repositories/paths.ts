/** Where a repository is seen: by its path as clients write it, so that the address can be read and sent to others. */
export function repositoryPath(repository: { path: string }): string {
  return `/repositories/${encodeURIComponent(repository.path)}`
}

/** Where an image of a repository is seen, by tag or digest. */
export function imagePath(repository: { path: string }, reference: string): string {
  return `${repositoryPath(repository)}/images/${encodeURIComponent(reference)}`
}

/** What a repository's name may be: the rule of the distribution specification, as the server holds it. */
export const repositoryName = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/

export const tagName = /^\w[\w.-]{0,127}$/

/** The call's path of a repository. */
export const callPath = (repository: { path: string }) => `/repositories/${encodeURIComponent(repository.path)}`
