// What npm's mqtt makes of Hale's edge. Usage: node clients.mjs mqtt://host:port secret
//
// clients_npm_test.go starts the server and runs this. There a message "fail once ..." is not durable the first time, so
// that the edge hangs up without acknowledging it; one that begins with "refuse" is refused; a status message and a
// message "tell me ..." are told to the device "watcher" as a command.
import mqtt from 'mqtt'

const [url, secret] = process.argv.slice(2)
const patience = 15_000

let missed = 0
let total = 0

// check runs one row of the table.
async function check(sentence, body) {
  total++
  const open = []
  const connect = (uid, change = {}) => {
    const client = mqtt.connect(url, {
      protocolVersion: 4, clientId: uid, username: uid, password: secret, reconnectPeriod: 0, connectTimeout: patience, ...change,
    })
    client.on('error', () => {}) // what matters is waited for
    open.push(client)
    return client
  }
  let timer
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('nothing came')), patience) })
    await Promise.race([body(connect), late])
    console.log(`ok    ${sentence}`)
  } catch (error) {
    missed++
    console.log(`MISS  ${sentence}: ${error.message}`)
  } finally {
    clearTimeout(timer)
    for (const client of open) await client.endAsync(true).catch(() => {})
  }
}

const once = (client, event) => new Promise((resolve) => client.once(event, (...all) => resolve(all)))

function same(got, want, what) {
  const [g, w] = [JSON.stringify(got), JSON.stringify(want)]
  if (g !== w) throw new Error(`${what} is ${g}, want ${w}`)
}

// heard returns the next message on a topic of which the text holds.
const heard = (client, topic, holds) => new Promise((resolve) => {
  client.on('message', (on, payload, packet) => {
    if (on === topic && holds(payload.toString())) resolve({ text: payload.toString(), packet })
  })
})

// refusal returns the return code of the CONNACK that a client gets, and sees that it is hung up on.
async function refusal(client) {
  const refused = new Promise((resolve) => client.on('error', resolve))
  const closed = once(client, 'close')
  const error = await refused
  await closed
  return error.code
}

const topic = (uid) => `hale/v1/${uid}/readings`

for (const clean of [true, false]) {
  await check(`it connects, with clean session ${clean}, and finds no session`, async (connect) => {
    const [connack] = await once(connect('d1', { clean }), 'connect')
    same([connack.returnCode, connack.sessionPresent], [0, false], 'CONNACK')
  })
}

for (const qos of [0, 1, 2]) {
  await check(`it publishes with QoS ${qos}`, async (connect) => {
    const client = connect('d1')
    const watcher = connect('watcher')
    await watcher.subscribeAsync('hale/v1/watcher/commands')
    const told = heard(watcher, 'hale/v1/watcher/commands', (text) => text === `tell me of QoS ${qos}`)
    await client.publishAsync(topic('d1'), `tell me of QoS ${qos}`, { qos, retain: true })
    await told
  })
  await check(`it asks to hear with QoS ${qos} and is granted QoS 0`, async (connect) => {
    const granted = await connect('d1').subscribeAsync('hale/v1/d1/receipts', { qos })
    same(granted.map((g) => g.qos), [0], 'what is granted')
  })
}

await check('300 messages with QoS 1 are all acknowledged', async (connect) => {
  const client = connect('d1')
  await Promise.all(Array.from({ length: 300 }, (_, i) => client.publishAsync(topic('d1'), `reading ${i}`, { qos: 1 })))
})

await check('a message of 1 MiB is acknowledged', async (connect) => {
  await connect('d1').publishAsync(topic('d1'), Buffer.alloc(1 << 20), { qos: 1 })
})

await check('it hears the receipt of a message that is refused', async (connect) => {
  const client = connect('d1')
  await client.subscribeAsync('hale/v1/d1/receipts')
  const receipt = heard(client, 'hale/v1/d1/receipts', () => true)
  await client.publishAsync(topic('d1'), 'refuse this', { qos: 1 })
  const { text, packet } = await receipt
  same(JSON.parse(text).refused[0].reason, 'unit', 'the reason')
  same([packet.qos, packet.retain, packet.dup], [0, false, false], 'what the receipt is marked as')
})

await check("another device's topic is denied, and its own is not", async (connect) => {
  const client = connect('d1')
  await once(client, 'connect')
  const suback = new Promise((resolve) => client.on('packetreceive', (p) => { if (p.cmd === 'suback') resolve(p) }))
  client.subscribe(['hale/v1/d2/receipts', 'hale/v1/d1/receipts', '#'], () => {})
  same((await suback).granted, [128, 0, 128], 'what is granted')
})

await check('it unsubscribes, and again', async (connect) => {
  const client = connect('d1')
  await client.subscribeAsync('hale/v1/d1/receipts')
  await client.unsubscribeAsync('hale/v1/d1/receipts')
  await client.unsubscribeAsync('hale/v1/d1/receipts')
})

for (const qos of [1, 2]) {
  await check(`when the edge hangs up without an acknowledgement it reconnects and sends again, with QoS ${qos}`, async (connect) => {
    const client = connect('d1', { reconnectPeriod: 50, clean: false })
    let connected = 0
    client.on('packetreceive', (p) => { if (p.cmd === 'connack') connected++ })
    await client.publishAsync(topic('d1'), `fail once, QoS ${qos}`, { qos })
    same(connected, 2, 'how often it connected')
  })
}

await check('a broken line is mended, and what was subscribed is subscribed again', async (connect) => {
  const client = connect('d1', { reconnectPeriod: 50 })
  await client.subscribeAsync('hale/v1/d1/receipts')
  client.stream.destroy()
  const [packet] = await new Promise((resolve) => client.on('packetreceive', (p) => { if (p.cmd === 'suback') resolve([p]) }))
  same(packet.granted, [0], 'what is granted after the break')
})

await check('a second connection of a device ends the first', async (connect) => {
  const first = connect('d1')
  await once(first, 'connect')
  const closed = once(first, 'close')
  const second = connect('d1')
  await closed
  await second.publishAsync(topic('d1'), 'still here', { qos: 1 })
})

await check('PINGREQ keeps a quiet connection open, with a keep-alive of 1 second', async (connect) => {
  const client = connect('d1', { keepalive: 1 })
  await once(client, 'connect')
  let pongs = 0
  await new Promise((resolve, reject) => {
    client.on('packetreceive', (p) => { if (p.cmd === 'pingresp' && ++pongs === 4) resolve() })
    client.on('close', () => reject(new Error('it was closed')))
  })
})

const will = { topic: 'hale/v1/d1/status', payload: 'gone', qos: 1, retain: true }

await check('its will is told when it vanishes', async (connect) => {
  const watcher = connect('watcher')
  await watcher.subscribeAsync('hale/v1/watcher/commands')
  const told = heard(watcher, 'hale/v1/watcher/commands', (text) => text === 'gone')
  const client = connect('d1', { will })
  await once(client, 'connect')
  client.stream.destroy()
  await told
})

await check('its will is not told when it says goodbye', async (connect) => {
  const watcher = connect('watcher')
  await watcher.subscribeAsync('hale/v1/watcher/commands')
  const told = []
  watcher.on('message', (_, payload) => told.push(payload.toString()))
  const client = connect('d1', { will })
  await once(client, 'connect')
  await client.endAsync(false)
  await connect('d2').publishAsync(topic('d2'), 'tell me when all is told', { qos: 1 })
  while (!told.includes('tell me when all is told')) await once(watcher, 'message')
  same(told, ['tell me when all is told'], 'what was told')
})

await check('a wrong secret gets CONNACK 4', async (connect) => {
  same(await refusal(connect('d1', { password: 'wrong' })), 4, 'the code')
})
await check('no secret gets CONNACK 4', async (connect) => {
  same(await refusal(connect('d1', { username: undefined, password: undefined })), 4, 'the code')
})
await check('a client id that is not the user name gets CONNACK 2', async (connect) => {
  same(await refusal(connect('d1', { clientId: 'd2' })), 2, 'the code')
})
await check('MQTT 3.1 gets CONNACK 1', async (connect) => {
  same(await refusal(connect('d1', { protocolVersion: 3, protocolId: 'MQIsdp' })), 1, 'the code')
})
await check('MQTT 5 is refused', async (connect) => {
  const client = connect('d1', { protocolVersion: 5 })
  client.on('connect', () => { throw new Error('it was let in') })
  await once(client, 'close')
  same(client.connected, false, 'connected')
})

console.log(`${total - missed} of ${total} as they should be`)
process.exit(missed === 0 ? 0 : 1)
