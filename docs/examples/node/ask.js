// Ask for recommendations, send an interaction, handle an answer that is an error: node ask.js
import { randomUUID } from 'node:crypto'
import { Kafka, Partitioners, logLevel } from 'kafkajs'
import { parse, parseNumberAndBigInt, stringify } from 'lossless-json'

const prefix = process.env.RECSTREAM_TOPIC_PREFIX ?? 'reco'
const brokers = (process.env.KAFKA_BOOTSTRAP_SERVERS ?? 'localhost:9092').split(',')
const kafka = new Kafka({ brokers, logLevel: logLevel.ERROR })
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner }) // murmur2
const consumer = kafka.consumer({
  groupId: `${prefix}-reader-${randomUUID()}`,
  maxWaitTimeInMs: 100 // the demo's embedded broker waits for half of it before it answers
})
const waiting = new Map() // what to call with the answer, by request id

async function connect() {
  const topic = `${prefix}.responses`
  const admin = kafka.admin()
  await Promise.all([admin.connect(), producer.connect(), consumer.connect()])
  const ends = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  await consumer.subscribe({ topic })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => {
      const answer = parse(message.value.toString(), null, parseNumberAndBigInt)
      waiting.get(answer.request_id)?.(answer) // others' answers and duplicates: nobody waits
    }
  })
  // From where the topic ends now: an answer that comes while the consumer starts is not missed.
  for (const { partition, offset } of ends) consumer.seek({ topic, partition, offset })
}

async function send(part, record) {
  const key = String(record.user_id ?? record.session_id ?? record.request_id)
  const message = { key, value: stringify(record) }
  await producer.send({ topic: `${prefix}.${part}`, messages: [message] })
}

async function ask(userId, fields = {}, seconds = 15) {
  const id = randomUUID()
  const request = { request_id: id, user_id: userId, deadline_ms: seconds * 1000, ...fields }
  let timer
  const answer = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${seconds} s`)), seconds * 1000)
    waiting.set(id, resolve)
  })
  try {
    return (await Promise.all([answer, send('requests', request)]))[0]
  } finally {
    clearTimeout(timer)
    waiting.delete(id)
  }
}

await connect()

const answer = await ask(42, { k: 3 })
for (const item of answer.items) console.log(`item ${item.item_id} ${item.title}`)

const film = answer.items[0].item_id // with its request_id, that answer gets the credit
const click = { user_id: 42, item_id: film, event: 'click', request_id: answer.request_id }
await send('interactions', click)
console.log(`sent a click on ${click.item_id}`)

const refused = await ask(42, { model_version: 'v9.9' })
if (refused.status !== 'ok') console.log('error', refused.error.code, refused.error.message)

for (const userId of [9007199254740993n, '日本']) { // beyond 2^53: BigInt, or text
  console.log(`answered ${(await ask(userId)).user_id}`)
}

await Promise.all([consumer.disconnect(), producer.disconnect()]) // when your program ends
