// Validates the AsyncAPI document on standard input; prints each complaint, and exits with 1 if any
// is an error or a warning (severity 0 or 1).
import { Parser } from '@asyncapi/parser'
import { text } from 'node:stream/consumers'

const { document, diagnostics } = await new Parser().parse(await text(process.stdin))
for (const { severity, path, message } of diagnostics) console.log(severity, path.join('.'), message)
if (document === undefined || diagnostics.some(({ severity }) => severity <= 1)) process.exitCode = 1
else console.log('messages:', document.messages().all().length)
