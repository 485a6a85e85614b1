/** A try that failed, for people: the whole message is the reason. */
export class Unmet extends Error {}
