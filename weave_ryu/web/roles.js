// Changes of roles, and the token that they may need.

import { $ } from "/web/dom.js";

const KEY = "token";

/** A request with the token, if one was given. Throws TokenNeeded when a look is refused. */
export async function request(path, options = {}) {
  const token = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (response.status === 401 && (options.method ?? "GET") === "GET") {
    sessionStorage.removeItem(KEY);
    const error = new Error("token needed");
    error.name = "TokenNeeded";
    throw error;
  }
  return response;
}

/** Show the dialog; resolves to true for yes. `tried` keeps it open while it returns a sentence. */
function ask(title, text, needsToken, tried = async () => "") {
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-error").textContent = "";
  const line = $("ask-token-line");
  line.hidden = !needsToken;
  $("ask-token").value = "";
  const dialog = $("ask");
  const form = dialog.querySelector("form");
  return new Promise((resolve) => {
    const end = (answer) => {
      form.removeEventListener("submit", onSubmit);
      $("ask-no").removeEventListener("click", onNo);
      dialog.removeEventListener("cancel", onNo);
      dialog.close();
      resolve(answer);
    };
    const onNo = (event) => { event.preventDefault(); end(false); };
    const onSubmit = async (event) => {
      event.preventDefault();
      if (!line.hidden && $("ask-token").value) {
        sessionStorage.setItem(KEY, $("ask-token").value.trim());
      }
      $("ask-yes").disabled = true;
      $("ask-error").textContent = "";
      const problem = await tried(() => { line.hidden = false; });
      $("ask-yes").disabled = false;
      if (!problem) { end(true); return; }
      $("ask-error").textContent = problem;
    };
    form.addEventListener("submit", onSubmit);
    $("ask-no").addEventListener("click", onNo);
    dialog.addEventListener("cancel", onNo);
    dialog.showModal();
    (line.hidden ? $("ask-yes") : $("ask-token")).focus();
  });
}

/** Ask for the token until one is given. */
export async function askToken(text) {
  while (!sessionStorage.getItem(KEY)) await ask("Token", text, true);
}

const CONSEQUENCES = {
  activate: "It forwards between the segment and the mesh; the one that forwards now hands over if its role is auto.",
  standby: "It stops forwarding.",
  auto: "The election decides whether it forwards.",
  drain: "It hands over, and stays out of elections until a role is set.",
};

/** Ask, change a gateway port, and say in the dialog if that failed. */
export async function changeRole(gateway, word, body) {
  const where = `${gateway.port} of segment ${gateway.segment}`;
  await ask(`${word} ${gateway.port}?`, `${CONSEQUENCES[word]} (${gateway.nick_name}, ${where})`, false,
    async (showToken) => {
      try {
        const response = await request(`/gateways/${encodeURIComponent(gateway.port)}`, {
          method: "PUT", body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
        });
        if (response.ok) return "";
        if (response.status === 401) showToken();
        const { error } = await response.json();
        return error.message;
      } catch {
        return "The daemon does not answer.";
      }
    });
}
