; What only JavaScript writes this way.

(class_heritage (identifier) @reference)
(class_heritage (member_expression property: (property_identifier) @reference))

(field_definition property: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function
