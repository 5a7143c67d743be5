/** Whether an address to listen on can be reached from this machine alone; a name means the same in any case. */
export const isLoopback = (host: string) => /^(localhost|::1|127(\.\d{1,3}){3})$/i.test(host)
