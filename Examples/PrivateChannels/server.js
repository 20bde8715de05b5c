// The server that this example ports, for socketcluster-server 19.
const http = require("http")
const socketClusterServer = require("socketcluster-server")

const accounts = new Map([["ann", "blue"], ["bob", "green"]])

const httpServer = http.createServer()
const agServer = socketClusterServer.attach(httpServer, { authKey: process.env.AUTH_KEY })

function ownerOf(channel) {
  return channel.startsWith("private/") ? channel.slice("private/".length) : null
}

agServer.setMiddleware(agServer.MIDDLEWARE_INBOUND, async (stream) => {
  for await (const action of stream) {
    if (action.type === action.SUBSCRIBE || action.type === action.PUBLISH_IN) {
      const owner = ownerOf(action.channel)
      const reader = action.socket.authToken && action.socket.authToken.username
      if (owner !== null && (owner !== reader || action.type === action.PUBLISH_IN)) {
        const error = new Error(`${action.channel} is private`)
        error.name = "PrivateChannelError"
        action.block(error)
        continue
      }
    }
    action.allow()
  }
})

async function serveLogin(socket) {
  for await (const request of socket.procedure("login")) {
    const { username, password } = request.data
    if (accounts.get(username) !== password) {
      const error = new Error("Wrong name or password")
      error.name = "LoginError"
      request.error(error)
      continue
    }
    socket.setAuthToken({ username })
    request.end({ channel: `private/${username}` })
  }
}

async function serveSend(socket) {
  for await (const request of socket.procedure("send")) {
    if (!socket.authToken) {
      request.error("log in first")
      continue
    }
    const { to, text } = request.data
    agServer.exchange.transmitPublish(`private/${to}`, { from: socket.authToken.username, text })
    request.end()
  }
}

async function serveLogout(socket) {
  for await (const request of socket.procedure("logout")) {
    if (socket.authToken) {
      socket.kickOut(`private/${socket.authToken.username}`, "logged out")
      socket.deauthenticate()
    }
    request.end()
  }
}

async function hearSeen(socket) {
  for await (const data of socket.receiver("seen")) {
    if (!socket.authToken) continue
    agServer.exchange.transmitPublish("seen", { by: socket.authToken.username, text: data.text })
  }
}

;(async () => {
  for await (const { socket } of agServer.listener("connection")) {
    serveLogin(socket)
    serveSend(socket)
    serveLogout(socket)
    hearSeen(socket)
  }
})()

httpServer.listen(process.env.PORT || 8000)
