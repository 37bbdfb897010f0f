// Asks the server, with the token where one was given; every address is relative, so a path prefix works too.

export let token = sessionStorage.getItem("token") ?? "";

export function useToken(given) {
  token = given;
  sessionStorage.setItem("token", token);
}

export function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  return fetch(path, { ...options, headers, signal: AbortSignal.timeout(10000) });
}

// Links are plain, so they carry the token where there is one.
export function fileUrl(url) {
  return token ? `${url}?token=${encodeURIComponent(token)}` : url;
}
