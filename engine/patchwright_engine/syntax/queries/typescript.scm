; What TypeScript and TSX add. Overload signatures are no definitions; declarations without code elsewhere are.

(abstract_class_declaration name: (_) @name) @definition.class
(interface_declaration name: (_) @name) @definition.class
(enum_declaration name: (_) @name) @definition.class
(type_alias_declaration name: (_) @name) @definition.class
(ambient_declaration (function_signature name: (_) @name) @definition.function)
(interface_body (method_signature name: (_) @name) @definition.method)
(abstract_method_signature name: (_) @name) @definition.method
(public_field_definition name: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function

(internal_module name: (_) @name) @container
(ambient_declaration "declare" @leading)

(type_identifier) @reference
(extends_clause value: (identifier) @reference)
(extends_clause value: (member_expression property: (property_identifier) @reference))

(import_require_clause source: (string (string_fragment) @import.module)) @import
