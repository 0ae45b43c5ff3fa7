import { validatorOf } from './validation.js';

test('MongoDB is sent a closed schema of the store’s own fields and the document’s', () => {
  const validator = validatorOf({
    fields: {
      title: 'string',
      rank: 'integer',
      state: { oneOf: ['OPEN', 'CLOSED'] },
      tags: { listOf: 'string' },
      author: { fields: { name: 'string' }, open: true },
      extra: 'object',
    },
    optional: ['rank'],
  });
  expect(JSON.stringify(validator)).toBe(
    JSON.stringify({
      $jsonSchema: {
        bsonType: 'object',
        required: ['_id', '_position', '_revision', 'title', 'state', 'tags', 'author', 'extra'],
        properties: {
          _id: { bsonType: 'string' },
          _position: { bsonType: 'string' },
          _revision: { bsonType: 'long' },
          title: { bsonType: 'string' },
          rank: { bsonType: 'int' },
          state: { bsonType: 'string', enum: ['OPEN', 'CLOSED'] },
          tags: { bsonType: 'array', items: { bsonType: 'string' } },
          author: {
            bsonType: 'object',
            required: ['name'],
            properties: { name: { bsonType: 'string' } },
            additionalProperties: true,
          },
          extra: { bsonType: 'object' },
        },
        additionalProperties: false,
      },
    }),
  );
});
