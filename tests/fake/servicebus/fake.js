/*
 * fake: Azure Service Bus as far as a health check sees it, on rhea, which is
 * an AMQP 1.0 implementation that has nothing in common with ours.  Whether it
 * is like the real one is for Microsoft's own client to say: see peek.js.
 *
 *	node fake.js PORT CONTROL-PORT [CERTIFICATE KEY]
 *
 * With FAKE_PRODUCT in the environment it is another broker of that name
 * instead, one that creates what is attached to; "-" is one without a name.
 *
 * Queues: "orders" with messages, "empty", "gone" (answers as for an entity
 * that does not exist), and names that order a fault, see `faults`.  Topic
 * "events" with the subscription "audit".  All else is missing.
 *
 * One line on the control port is a command, answered by one line:
 *
 *	counts		"connections=1 opened=1 ..." since the start
 *	forced		closes all connections, amqp:connection:forced
 *	detach		closes all links to entities, as when they are idle
 *	rekey NAME KEY	another key from now on
 *	add QUEUE, remove QUEUE
 *	idle MS		wants a frame that often on new connections
 */
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const rhea = require('rhea');

const [port, controlPort, certificate, key] = process.argv.slice(2);

const policies = {
	root: { key: 'cm9vdC1rZXktb2YtdGhlLWZha2U=', rights: ['Listen', 'Send'] },
	listener: { key: 'bGlzdGVuLWtleS1vZi10aGUtZmFrZQ==', rights: ['Listen'] },
	sender: { key: 'c2VuZC1rZXktb2YtdGhlLWZha2U=', rights: ['Send'] },
};

const queues = new Set(['orders', 'empty', 'gone']);
const messages = [1, 2, 3].map((n) => ({ n, text: `order ${n}` }));
const counts = {
	connections: 0, now: 0, opened: 0, sessions: 0, links: 0, tokens: 0,
	peeks: 0, sends: 0,
};
let idle = 0;

/* What happens at a queue whose name begins so; "hang-..." is silence. */
const faults = [
	'hang-token', 'hang-credit', 'hang-answer', 'drop-token',
	'drop-attach', 'drop-answer', 'status-', 'token-status-', 'busy',
	'notfound', 'nostatus', 'stranger', 'twice', 'big-', 'forced',
	'detach', 'kill', 'unasked', 'reject', 'strays-',
];

function say(...words) {
	console.log(...words);
}

/* "orders/$management", "events/Subscriptions/audit/$management" */
function entityOf(address) {
	return address.replace(/\/\$management$/, '');
}

function faultOf(address, fault) {
	return entityOf(address).startsWith(fault);
}

const broker = process.env.FAKE_PRODUCT;

function exists(address) {
	const entity = entityOf(address);

	return broker || queues.has(entity) || entity === 'events' ||
		entity.toLowerCase() === 'events/subscriptions/audit' ||
		faults.some((fault) => entity.startsWith(fault));
}

/* ---- permissions ---- */

/* The policy that this token belongs to; otherwise why the token is invalid. */
function policyOf(token, audience) {
	const parts = Object.fromEntries(token
		.replace(/^SharedAccessSignature /, '').split('&')
		.map((part) => part.split(/=(.*)/s).slice(0, 2)));
	const policy = policies[decodeURIComponent(parts.skn || '')];
	let sum;

	if (!policy)
		return 'InvalidPolicy';
	sum = crypto.createHmac('sha256', policy.key)
		.update(`${parts.sr}\n${parts.se}`).digest('base64');
	if (sum !== decodeURIComponent(parts.sig || ''))
		return 'InvalidSignature: The token has an invalid signature.';
	if (Number(parts.se) * 1000 <= Date.now())
		return 'ExpiredToken';
	if (!audience.startsWith(decodeURIComponent(parts.sr)))
		return 'InvalidAudience';
	return { rights: policy.rights, until: Number(parts.se) * 1000 };
}

function may(connection, address, right) {
	const state = connection.fake;

	if (broker)
		return true;
	if (state.rights)
		return state.rights.includes(right);
	for (const [audience, grant] of state.grants) {
		const of = audience.replace(/^sb:\/\/[^/]*\/?/, '');

		if (address.startsWith(of) && grant.until > Date.now())
			return grant.rights.includes(right);
	}
	return false;
}

const container = rhea.create_container({ id: 'fake', non_fatal_errors: [] });
const mechanisms = container.sasl_server_mechanisms;

mechanisms.enable_anonymous();
mechanisms.enable_plain((user, password) =>
	Boolean(policies[user]) && policies[user].key === password);
if (!broker)
	mechanisms.MSSBCBS = mechanisms.ANONYMOUS;

/* ---- answers ---- */

function answer(state, to, question, properties, body) {
	const link = state.answers.get(to);

	if (!link)
		return undefined;
	return link.send({
		correlation_id: question.message_id,
		application_properties: properties,
		body,
	});
}

function stop(connection) {
	connection.socket.destroy();
}

function onToken(context) {
	const { connection, message } = context;
	if (broker)
		return;
	const audience = message.application_properties.name;
	const address = audience.replace(/^sb:\/\/[^/]*\/?/, '');
	const grant = policyOf(message.body, audience);
	const status = /^token-status-(\d+)/.exec(address);
	let properties = { 'status-code': 202, 'status-description': 'Accepted' };

	counts.tokens++;
	say('token', audience, typeof grant === 'string' ? grant : 'good');
	if (faultOf(address, 'hang-token'))
		return;
	if (faultOf(address, 'drop-token')) {
		stop(connection);
		return;
	}
	if (message.application_properties.operation !== 'put-token' ||
	    message.application_properties.type !==
		    'servicebus.windows.net:sastoken')
		properties = { 'status-code': 400 };
	else if (status)
		properties = { 'status-code': Number(status[1]),
			'status-description': 'as ordered' };
	else if (typeof grant === 'string')
		properties = { 'status-code': 401,
			'status-description': grant,
			'error-condition': 'amqp:unauthorized-access' };
	else
		connection.fake.grants.set(audience, grant);
	answer(connection.fake, message.reply_to, message, properties);
}

function isPeek(message) {
	return message.application_properties.operation ===
		'com.microsoft:peek-message' &&
		message.body['message-count'] > 0 &&
		message.body['from-sequence-number'] !== undefined;
}

function peeked(entity, body) {
	const found = entity === 'empty' ? [] : messages
		.slice(0, body['message-count']).map((one) => ({
			message: rhea.message.encode({
				message_id: `m${one.n}`,
				message_annotations: {
					'x-opt-sequence-number':
						rhea.types.wrap_long(one.n),
				},
				body: body['omit-message-body'] ? undefined :
					rhea.message.data_section(
						Buffer.from(one.text)),
			}),
		}));

	return found.length ? { status: 200, body: { messages: found } }
		: { status: 204 };
}

function onPeek(context, address) {
	const { connection, message } = context;
	const state = connection.fake;
	const entity = entityOf(address);
	const status = /^status-(\d+)/.exec(entity);
	const reply = (properties, body, question = message) =>
		answer(state, message.reply_to, question, properties, body);
	let again, result;

	counts.peeks++;
	if (broker)
		return;
	again = state.peeks++ > 0;
	if (faultOf(entity, 'hang-answer'))
		return;
	if (faultOf(entity, 'drop-answer') ||
	    (faultOf(entity, 'kill') && again))
		return stop(connection);
	if (faultOf(entity, 'forced') && again)
		return connection.close({ condition: 'amqp:connection:forced',
			description: 'The connection was inactive' });
	if (faultOf(entity, 'detach') && again)
		return context.receiver.close({
			condition: 'amqp:link:detach-forced',
			description: 'The link is idle' });
	if (!isPeek(message))
		return reply({ statusCode: 400, statusDescription: 'no peek',
			errorCondition: 'com.microsoft:argument-error' });
	if (!may(connection, address, 'Listen'))
		return reply({ statusCode: 401,
			statusDescription: 'claim Listen is required' });
	if (status)
		return reply({ statusCode: Number(status[1]),
			statusDescription: 'as ordered at host secret.example' });
	if (faultOf(entity, 'busy'))
		return reply({ statusCode: 503, statusDescription: 'slow down',
			errorCondition: 'com.microsoft:server-busy' });
	if (faultOf(entity, 'notfound'))
		return reply({ statusCode: 404, statusDescription: 'none',
			errorCondition: 'com.microsoft:message-not-found' });
	if (entity === 'gone' || !exists(address))
		return reply({ statusCode: 404,
			errorCondition: 'amqp:not-found' });
	if (faultOf(entity, 'nostatus'))
		return reply({ colour: 'blue' });
	if (faultOf(entity, 'stranger'))
		return reply({ statusCode: 200 }, undefined,
			{ message_id: 'never asked' });
	for (let n = Number((/^strays-(\d+)/.exec(entity) || [])[1] || 0); n; n--)
		reply({ statusCode: 500 }, undefined, { message_id: `old${n}` });
	if (faultOf(entity, 'twice'))
		reply({ statusCode: 200 });
	if (faultOf(entity, 'unasked'))
		return context.session.open_receiver('unasked');
	if (faultOf(entity, 'big-'))
		return reply({ statusCode: 200 }, { messages: [ { message:
			Buffer.alloc(Number(entity.split('-')[1]), 'x') } ] });
	result = peeked(entity, message.body);
	return reply({ statusCode: result.status,
		statusDescription: 'as asked' }, result.body);
}

/* ---- links ---- */

function refuse(link, condition, description) {
	say('refused', condition, description);
	link.close({ condition, description });
}

function entityLink(context, link, address, right) {
	const { connection } = context;

	say('link', right, address);
	counts.links++;
	if (!exists(address)) {
		refuse(link, 'amqp:not-found',
			`The messaging entity '${address}' could not be found.`);
		return false;
	}
	if (!may(connection, address, right)) {
		refuse(link, 'amqp:unauthorized-access',
			`Unauthorized access. '${right}' claim(s) are required`);
		return false;
	}
	if (faultOf(address, 'drop-attach')) {
		stop(connection);
		return false;
	}
	return true;
}

/* A sender of theirs is a receiver here. */
container.on('receiver_open', (context) => {
	const { connection, receiver } = context;
	const { address } = receiver.target;
	const management = address.endsWith('/$management');

	if (address !== '$cbs') {
		if (!entityLink(context, receiver, address,
			management ? 'Listen' : 'Send'))
			return;
		if (faultOf(address, 'reject-send')) {
			refuse(receiver, 'com.microsoft:entity-disabled', 'off');
			return;
		}
	}
	if (!faultOf(address, 'hang-credit'))
		receiver.add_credit(100);
	connection.fake.questions.add(receiver);
});

/* Answers go to a receiver of theirs, by its name or its address. */
container.on('sender_open', (context) => {
	const { connection, sender } = context;
	const { address } = sender.source;

	if (address !== '$cbs') {
		if (!entityLink(context, sender, address, 'Listen'))
			return;
		connection.fake.questions.add(sender);
	}
	connection.fake.answers.set(sender.name, sender);
	if (sender.target && sender.target.address)
		connection.fake.answers.set(sender.target.address, sender);
});

container.on('message', (context) => {
	const { address } = context.receiver.target;

	context.receiver.add_credit(1);
	if (faultOf(address, 'reject')) {
		context.delivery.reject({ condition: 'amqp:internal-error',
			description: 'as ordered' });
		return;
	}
	context.delivery.accept();
	if (address === '$cbs') {
		onToken(context);
	} else if (address.endsWith('/$management')) {
		onPeek(context, address);
	} else {
		counts.sends++;
		say('sent', address);
	}
});

/* ---- connections ---- */

const live = new Set();

container.on('connection_open', (context) => {
	const { connection } = context;
	const login = connection.sasl_transport.selected;
	const plain = login.mechanism && login.mechanism.callback;

	counts.opened++;
	live.add(connection);
	connection.fake = {
		peeks: 0, grants: new Map(), answers: new Map(), questions: new Set(),
		rights: plain ? policies[login.username].rights : null,
	};
	say('open', connection.remote.open.hostname);
});

container.on('session_open', () => {
	counts.sessions++;
});

for (const event of ['connection_close', 'disconnected'])
	container.on(event, (context) => {
		live.delete(context.connection);
	});
for (const event of ['connection_error', 'session_error', 'receiver_error',
	'sender_error', 'error', 'protocol_error'])
	container.on(event, (what) => {
		say(event, what.error ? what.error.message : what.message);
	});

/* A token that has run out takes its links along. */
setInterval(() => {
	for (const connection of live)
		for (const [audience, grant] of connection.fake.grants)
			if (grant.until <= Date.now()) {
				connection.fake.grants.delete(audience);
				say('expired', audience);
				for (const link of connection.fake.questions)
					link.close({ condition:
						'amqp:unauthorized-access',
					description: 'ExpiredToken' });
			}
}, 200).unref();

function options() {
	return { port: Number(port), host: '127.0.0.1',
		idle_time_out: idle || undefined, max_frame_size: 65536,
		properties: broker && broker !== '-' ?
			{ version: '1', product: broker } : undefined,
		receiver_options: { credit_window: 0, autoaccept: false },
		...(certificate ? { transport: 'tls',
			cert: fs.readFileSync(certificate),
			key: fs.readFileSync(key) } : {}) };
}

const listening = options();
const server = container.listen(listening);

server.on(certificate ? 'secureConnection' : 'connection', (socket) => {
	counts.connections++;
	counts.now++;
	socket.setNoDelay(true);
	socket.on('close', () => counts.now--);
	socket.on('error', (error) => say('socket', error.message));
});

/* ---- control ---- */

function command(words) {
	switch (words[0]) {
	case 'counts':
		return Object.entries(counts).map(([name, n]) => `${name}=${n}`)
			.join(' ');
	case 'forced':
		for (const connection of live)
			connection.close({ condition: 'amqp:connection:forced',
				description: 'The connection was inactive' });
		return 'ok';
	case 'detach':
		for (const connection of live)
			for (const link of connection.fake.questions)
				if ((link.target || link.source) &&
				    link.is_open())
					link.close({ condition:
						'amqp:link:detach-forced',
					description: 'The link is idle' });
		return 'ok';
	case 'rekey':
		policies[words[1]].key = words[2];
		return 'ok';
	case 'add':
		queues.add(words[1]);
		return 'ok';
	case 'remove':
		queues.delete(words[1]);
		return 'ok';
	case 'idle':
		listening.idle_time_out = idle = Number(words[1]);
		return 'ok';
	default:
		return 'what?';
	}
}

net.createServer((socket) => {
	socket.on('error', () => {});
	socket.once('data', (data) => {
		socket.end(`${command(data.toString().trim().split(/ +/))}\n`);
	});
}).listen(Number(controlPort), '127.0.0.1');
