import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, IsString, MaxLength } from 'class-validator';

export class EndSubscriptionQuery {
  @ApiPropertyOptional({ maxLength: 500, description: 'Kept in the history', example: 'The contract is over' })
  @IsOptional()
  @IsString()
  @MaxLength(2000)
  reason?: string;
}
