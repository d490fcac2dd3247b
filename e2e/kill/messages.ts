/** What the story's process tells the process that kills it. */
export type StoryMessage =
  | { readonly kind: 'step'; readonly step: string; readonly wasDone: boolean }
  | { readonly kind: 'progress'; readonly rowsDone: number }
  | { readonly kind: 'done'; readonly round: number; readonly isEqual: boolean; readonly dumps: string }
  | { readonly kind: 'error'; readonly code: string; readonly text: string; readonly isRetryable: boolean };

/** What both processes need to know; given as one JSON argument. */
export interface StoryArguments {
  readonly folder: string;
  readonly serverUrl: string;
  readonly databaseUrl: string;
  readonly user: string;
  readonly rows: number;
}

export interface ServerArguments {
  readonly databaseUrl: string;
  readonly jwtSecret: string;
  readonly port: number;
}
