// Posts a message to a chat room's incoming webhook.
//
// A webhook cannot be asked what it has received. So a message whose reply was lost is never sent
// again: the step ends with `outcome-unknown`, and a person looks into the room.

import { Client } from "docket:processor/http@0.1.0";

// The bindings that componentize-js makes lack the class of a resource without methods, and miss it when
// a call comes with a token. Their scope is not this one; its functions are made in it.
Client.constructor("globalThis.import_http_0_1_0$Token ??= class Token {}")();

const manifest = {
  id: "chat-webhook",
  version: "0.1.0",
  summary: "Posts messages to chat rooms.",
  actions: [
    {
      name: "post",
      kind: "action",
      summary: "Posts a message to a room by its incoming webhook.",
      input: JSON.stringify({
        type: "object",
        properties: {
          room: {
            type: "string",
            pattern: "^[A-Za-z0-9-]+$",
            description: "The last part of the webhook's address.",
          },
          text: { type: "string", minLength: 1, maxLength: 4000 },
          link: { type: "string", format: "uri", description: "Shown below the text." },
        },
        required: ["room", "text"],
        additionalProperties: false,
      }),
      output: JSON.stringify({
        type: "object",
        properties: { posted: { const: true } },
        required: ["posted"],
      }),
      requests: [
        {
          method: "POST",
          url: "https://chat.example.com/hooks/*",
          reason: "To post the message to the room that the step names.",
        },
      ],
      scopes: [],
      examples: [
        {
          title: "A signed contract",
          input: JSON.stringify({ room: "sales", text: "Contract 2026-117 is signed." }),
        },
      ],
    },
  ],
};

// A failure of the interface: its case decides what the engine does next. Thrown, it is the action's
// error; anything else that is thrown is a crash.
class Failure extends Error {
  constructor(tag, code, message, remedy) {
    super(message);
    this.payload = { tag, val: { code, message, remedy } };
  }
}

function throttled(code, message, after) {
  const failure = new Failure("throttled", code, message);
  failure.payload.val = { problem: failure.payload.val, after };
  return failure;
}

function send(call, request) {
  try {
    return call.http.send(request);
  } catch (error) {
    const { tag, val } = error.payload ?? {};
    switch (tag) {
      case "interrupted":
        throw new Failure(
          "outcome-unknown",
          "Interrupted",
          `the message may have been posted: ${val}`,
          "look into the room before you run the step again",
        );
      case "unreachable":
        throw new Failure("unavailable", "Unreachable", val);
      case "denied":
        throw new Failure("denied", "RequestDenied", val.what, val.remedy);
      default:
        throw error;
    }
  }
}

function post(call) {
  const { room, text, link } = JSON.parse(call.input);
  const message = link === undefined ? { text } : { text: `${text}\n${link}` };
  const response = send(call, {
    method: "POST",
    url: `https://chat.example.com/hooks/${room}`,
    headers: [["content-type", "application/json"]],
    body: [{ tag: "bytes", val: new TextEncoder().encode(JSON.stringify(message)) }],
    token: undefined,
    repeatable: false,
    seal: [],
    receive: { tag: "inline", val: 64 * 1024 },
    timeout: undefined,
  });
  const { status } = response;
  if (status >= 200 && status < 300) {
    return { posted: true };
  }
  if (status === 404 || status === 410) {
    throw new Failure(
      "not-found",
      `Http${status}`,
      `there is no room ${room}`,
      "look the webhook's address up in the room's settings",
    );
  }
  if (status === 429) {
    const header = response.headers.find(([name]) => name === "retry-after");
    const seconds = Number(header?.[1]);
    throw throttled(
      "Http429",
      "the chat service asks to wait",
      Number.isFinite(seconds) ? BigInt(Math.ceil(seconds * 1000)) : undefined,
    );
  }
  if (status === 503) {
    // The service says that it did not take the message.
    throw new Failure("unavailable", "Http503", "the chat service is not available");
  }
  if (status >= 500) {
    // A gateway that gave up says nothing of whether the message was posted.
    throw new Failure(
      "outcome-unknown",
      `Http${status}`,
      `the message may have been posted: the chat service answered ${status}`,
      "look into the room before you run the step again",
    );
  }
  throw new Failure("permanent", `Http${status}`, `the chat service answered ${status}`);
}

export const actions = {
  describe() {
    return manifest;
  },

  run(call) {
    if (call.action !== "post") {
      throw new Failure("invalid-input", "UnknownAction", `there is no action ${call.action}`);
    }
    console.log(`posting to ${JSON.parse(call.input).room}`);
    return { json: JSON.stringify(post(call)), cursor: undefined };
  },
};
