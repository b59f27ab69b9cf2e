/*
 * peek: asks with Microsoft's own client, so that the fake is held against
 * what that takes for Azure Service Bus.
 *
 *	node peek.js CONNECTION-STRING QUEUE [sb://ADDRESS:PORT]
 *
 * Prints "N messages: text, ..." or "error: CODE".
 */
'use strict';

const { ServiceBusClient } = require('@azure/service-bus');

const [string, queue, address] = process.argv.slice(2);

(async () => {
	const client = new ServiceBusClient(string, {
		customEndpointAddress: address,
		retryOptions: { maxRetries: 0, timeoutInMs: 5000 },
	});

	try {
		const found = await client.createReceiver(queue)
			.peekMessages(5);

		console.log(`${found.length} messages: ` +
			found.map((one) => one.body).join(', '));
	} catch (error) {
		console.log(`error: ${error.code}`);
	}
	await client.close();
	process.exit(0);
})();
