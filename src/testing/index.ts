/** `fastify-sms-verify/testing`: a provider that sends nothing, for tests of an app; and the suites for who writes a provider. */
export {
  type FakeCall,
  type FakeOptions,
  type FakeProvider,
  fakeProvider,
} from './fake-provider.ts'
export { type HttpProviderContract, testHttpProvider } from './http-contract.ts'
export { ACTS, type Act, type ActName, type MagicAct, magicNumber } from './magic.ts'
export {
  message,
  type ProviderContract,
  type ProviderSetup,
  testProvider,
  type VendorMood,
} from './provider-contract.ts'
export { type ReceiptSourceContract, testReceiptSource } from './receipt-contract.ts'
export {
  answer,
  answerJson,
  hang,
  type Reply,
  reset,
  type VendorRequest,
  type VendorServer,
  vendorServer,
} from './vendor-server.ts'
